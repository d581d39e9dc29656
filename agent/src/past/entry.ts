import type { UptimeMs } from '@paddock/shared/time.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { MAX_ENTRY_BYTES } from './ring.ts';

/**
 * - begin: a start begins; `more` says what to compare the next one with
 * - end: it was stopped, by itself or from outside
 * - error: an error that nobody caught ends it
 * - note: what it did
 * - pulse: that it lives, and how
 */
export const ENTRY_KINDS = ['begin', 'end', 'error', 'note', 'pulse'] as const;
export type EntryKind = (typeof ENTRY_KINDS)[number];

export const LEVELS = ['info', 'warn', 'error'] as const;
export type Level = (typeof LEVELS)[number];

export type More = Readonly<Record<string, string | number | boolean>>;

/** One entry of the flight recorder. */
export interface Entry {
  readonly kind: EntryKind;
  /** The first characters of the boot id: enough to tell one boot from the next. */
  readonly boot: string;
  readonly segment: number;
  readonly start: number;
  readonly at: UptimeMs;
  readonly level: Level;
  readonly what: string;
  readonly more: More;
}

const BOOT_CHARS = 8;
export const shortBoot = (bootId: string): string => bootId.slice(0, BOOT_CHARS);

/** What is left of a long text: the bounds of entries are in bytes, and JSON may write six for a character. */
const MOST_CHARS = { what: 160, message: 1024, value: 128, stack: 12_000 } as const;

/** The text of an entry; what is too long for the ring is cut, the longest value first. */
export function formatEntry(entry: Entry): string {
  const { kind, boot, segment, start, at, level, what, more } = entry;
  const cut = Object.entries(more).map(([key, value]): [string, string | number | boolean] => [
    key,
    typeof value === 'string' ? value.slice(0, key === 'stack' ? MOST_CHARS.stack : MOST_CHARS.value) : value,
  ]);
  const said = what.slice(0, kind === 'error' ? MOST_CHARS.message : MOST_CHARS.what);
  const fields: unknown[] = [kind, boot, segment, start, Math.round(at), level, said];
  const text = JSON.stringify([...fields, Object.fromEntries(cut)]);
  if (Buffer.byteLength(text) <= MAX_ENTRY_BYTES) return text;
  const shorter = cut.map(([key, value]) => [key, typeof value === 'string' ? value.slice(0, 1500) : value]);
  return JSON.stringify([...fields, Object.fromEntries(shorter)]);
}

/** Null for what this program did not write. */
export function parseEntry(text: string): Entry | null {
  const value = jsonOf(text);
  if (!Array.isArray(value)) return null;
  const [kind, boot, segment, start, at, level, what, more] = value as unknown[];
  if (!isOneOf(ENTRY_KINDS, kind) || !isOneOf(LEVELS, level)) return null;
  if (typeof boot !== 'string' || typeof what !== 'string' || !isRecord(more)) return null;
  if (!isCount(segment) || !isCount(start) || !isCount(at)) return null;
  const scalars = Object.entries(more).flatMap(([key, one]) => (isScalar(one) ? [[key, one] as const] : []));
  return { kind, boot, segment, start, at: uptimeMs(at), level, what, more: Object.fromEntries(scalars) };
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const isOneOf = <T extends string>(words: readonly T[], value: unknown): value is T =>
  words.some((word) => word === value);
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isScalar = (value: unknown): value is string | number | boolean =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
