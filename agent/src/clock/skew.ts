import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { KnownInterval } from './trusted-time.ts';

/** The middle of an interval, and how far true time may be from it. */
export const middleOf = ({ earliest, latest }: KnownInterval): { readonly at: WallMs; readonly errorMs: number } => ({
  at: wallMs(Math.round((earliest + latest) / 2)),
  errorMs: (latest - earliest) / 2,
});

/** How far a wall clock is outside of what true time may be, in ms: ahead of it is positive, 0 may be right. */
export const skewOf = (wall: WallMs, { earliest, latest }: KnownInterval): number =>
  Math.max(0, wall - latest) + Math.min(0, wall - earliest);

/**
 * What the system clock is to be set to, if at all.
 * @param stepOverMs by how much it must certainly be wrong
 */
export const stepTo = (wall: WallMs, interval: KnownInterval, stepOverMs: number): WallMs | null =>
  Math.abs(skewOf(wall, interval)) > stepOverMs ? middleOf(interval).at : null;
