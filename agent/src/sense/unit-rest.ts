/** The most rounds that a silent unit is left alone. */
const LONGEST_REST = 16;

export interface UnitRest {
  nextRound(): void;
  isResting(unit: number): boolean;
  silent(unit: number): void;
  answered(unit: number): void;
}

/**
 * Spares the bus a unit that does not answer: every question to it costs the others a timeout. It is asked
 * again in the next round, then after 2, 4, 8 and at most 16; and never twice in the round it was silent in.
 */
export function createUnitRest(): UnitRest {
  const silences = new Map<number, { count: number; until: number }>();
  let round = 0;
  return {
    nextRound: () => {
      round += 1;
    },
    isResting: (unit) => (silences.get(unit)?.until ?? 0) > round,
    silent: (unit) => {
      const count = (silences.get(unit)?.count ?? 0) + 1;
      silences.set(unit, { count, until: round + Math.min(LONGEST_REST, 2 ** (count - 1)) });
    },
    answered: (unit) => void silences.delete(unit),
  };
}
