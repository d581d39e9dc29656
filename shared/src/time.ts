/**
 * Two kinds of time that must never be mixed: what a wall clock claims, and what a
 * monotonic clock counts since the boot. They differ in type, so that the compiler
 * refuses to subtract one from the other.
 */
declare const wall: unique symbol;
declare const uptime: unique symbol;

/** Milliseconds since 1970-01-01T00:00:00Z on some wall clock. */
export type WallMs = number & { readonly [wall]: true };
/** Milliseconds of CLOCK_MONOTONIC_RAW since the boot. */
export type UptimeMs = number & { readonly [uptime]: true };

export const wallMs = (ms: number): WallMs => ms as WallMs;
export const uptimeMs = (ms: number): UptimeMs => ms as UptimeMs;

/** RFC 3339 in UTC with milliseconds, the only form on the wire: `2026-11-23T20:00:00.000Z`. */
export const INSTANT_PATTERN =
  '^\\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\\d|3[01])T([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d\\.\\d{3}Z$';

export const toInstant = (ms: WallMs): string => new Date(ms).toISOString();
/** For libraries that want one: nothing reads the time from it. */
export const toDate = (ms: WallMs): Date => new Date(ms);
export const fromInstant = (instant: string): WallMs => Date.parse(instant) as WallMs;

/**
 * How a moment was placed, best first (docs/protocol.md, "Time"):
 * - exchanged: bounded from both sides by an exchange close to it
 * - extrapolated: carried over from another moment of the same boot at a bounded rate
 * - neighbour: bounded by the boots before and after
 * - device-clock: taken from a device clock that its neighbours prove right
 * - arrival: all that is known is that it happened before it arrived
 */
export const BASES = ['exchanged', 'extrapolated', 'neighbour', 'device-clock', 'arrival'] as const;
export type Basis = (typeof BASES)[number];

/** When something happened, and how wrong that can be. `earliest` is null when nothing bounds it from below. */
export interface TimeInterval {
  readonly earliest: WallMs | null;
  readonly latest: WallMs;
  readonly estimate: WallMs;
  readonly basis: Basis;
}
