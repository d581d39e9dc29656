import type { Reading } from '@paddock/shared/report.ts';

interface KioskKind {
  /** Binary sensors, by their period in seconds. */
  readonly contacts: Readonly<Record<string, number>>;
  readonly numbers: Readonly<Record<string, readonly [unit: string, middle: number, swing: number]>>;
}

const KINDS = {
  locker: {
    contacts: { door: 900, lock: 900, motion: 47 },
    numbers: { temperature: ['°C', 19, 4], battery: ['V', 12.4, 0.5], humidity: ['%', 45, 12] },
  },
  ticket: {
    contacts: { lid: 7200, printer: 3600, motion: 31 },
    numbers: { temperature: ['°C', 31, 6], paper: ['%', 50, 45], coin: ['kg', 3, 2] },
  },
  vending: {
    contacts: { door: 5400, compressor: 240, light: 43_200 },
    numbers: { temperature: ['°C', 5, 1.5], power: ['kW', 0.4, 0.3], level: ['%', 55, 40] },
  },
} as const satisfies Record<string, KioskKind>;
type Kind = keyof typeof KINDS;

export const kindOf = (index: number): Kind => (Object.keys(KINDS) as Kind[])[index % 3] ?? 'locker';

/**
 * The readings of one simulated device, as a function of time alone.
 * @param index which device
 * @param seconds any steady time
 * @param startedAt the same time when this start began: changes are counted from there
 */
export function readingsAt(index: number, seconds: number, startedAt: number): Record<string, Reading> {
  const { contacts, numbers }: KioskKind = KINDS[kindOf(index)];
  const phase = (index * 0.618_034) % 1;
  return {
    ...Object.fromEntries(
      Object.entries(contacts).map(([name, period]) => [name, contactAt(period, phase, seconds, startedAt)]),
    ),
    ...Object.fromEntries(
      Object.entries(numbers).map(([name, [unit, middle, swing]], place) => {
        const value = middle + swing * Math.sin(seconds / (60 + 40 * place) + phase * 2 * Math.PI);
        return [name, { value: Math.round(value * 100) / 100, unit, ageMs: 0 }];
      }),
    ),
  };
}

/** Closed for the first half of a period, open for the second. */
function contactAt(period: number, phase: number, seconds: number, startedAt: number): Reading {
  const half = period / 2;
  const offset = phase * period;
  const edge = Math.floor((seconds + offset) / half);
  const changes = edge - Math.floor((startedAt + offset) / half);
  const ageMs = 0;
  const value = edge % 2 === 1;
  if (changes === 0) return { value, ageMs, changes, changedAgoMs: null, heldForMs: toMs(seconds - startedAt) };
  return { value, ageMs, changes, changedAgoMs: toMs(seconds + offset - edge * half) };
}

const toMs = (seconds: number): number => Math.max(0, Math.round(seconds * 1000));
