import type { Offset } from './clock-offset.ts';

/** What one clock says, against the database's, and how wrong it claims to be at most. */
export interface ClockReading extends Offset {
  readonly name: string;
  readonly errorMs: number;
}

/** Where true time less the database's must lie, if the clock keeps its promise. */
const claimOf = ({ lowMs, highMs, errorMs }: ClockReading) => ({ from: lowMs - errorMs, to: highMs + errorMs });

const agree = (a: ClockReading, b: ClockReading): boolean => {
  const [one, other] = [claimOf(a), claimOf(b)];
  return one.from <= other.to && other.from <= one.to;
};

/**
 * Which clocks break their promise: those outside of what most agree on (Marzullo's algorithm). Without a majority,
 * as with two clocks only, nobody can say which one is wrong: then all are named that contradict another.
 * @returns names, in the order given; none when all agree
 */
export function contradicting(readings: readonly ClockReading[]): string[] {
  const most = largestAgreement(readings);
  if (most.length === readings.length) return [];
  const isMajority = most.length * 2 > readings.length;
  const wrong = isMajority
    ? readings.filter((reading) => !most.includes(reading))
    : readings.filter((reading) => readings.some((other) => !agree(reading, other)));
  return wrong.map(({ name }) => name);
}

/** The readings that share one moment, as many as can be: one of them begins at such a moment. */
function largestAgreement(readings: readonly ClockReading[]): readonly ClockReading[] {
  const containing = (moment: number) =>
    readings.filter((reading) => claimOf(reading).from <= moment && moment <= claimOf(reading).to);
  return readings
    .map((reading) => containing(claimOf(reading).from))
    .reduce((best, some) => (some.length > best.length ? some : best), []);
}
