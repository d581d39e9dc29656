import type { Evidence } from './evidence.ts';

/** What a device's wall clock claimed within one clock, as differences to the uptime, in ms. */
export interface WallRecord {
  /** At the oldest uptime that is known: what the clock claimed before anybody could set it. */
  readonly firstUptimeMs: number;
  readonly firstOffsetMs: number;
  /** At the newest. */
  readonly uptimeMs: number;
  readonly offsetMs: number;
  /** How often it was set, or jumped, in between. */
  readonly steps: number;
  readonly lastStepMs: number | null;
}

/** NTP slews what is off by less, and steps the rest (RFC 5905, STEPT is 128 ms): half a second leaves room for us. */
const STEP_MS = 500;
/** The fastest that a clock is slewed: 500 ppm by the kernel, and the crystal's own error. */
const SLEW = 1000e-6;

/** Takes a claim into account; one of an older uptime than the newest says nothing of steps. */
export function noteWall(wall: WallRecord | null, { wallMs, uptimeMs }: Evidence): WallRecord | null {
  if (wallMs === null) return wall;
  const offsetMs = wallMs - uptimeMs;
  if (wall === null)
    return { firstUptimeMs: uptimeMs, firstOffsetMs: offsetMs, uptimeMs, offsetMs, steps: 0, lastStepMs: null };
  if (uptimeMs < wall.firstUptimeMs) return { ...wall, firstUptimeMs: uptimeMs, firstOffsetMs: offsetMs };
  if (uptimeMs <= wall.uptimeMs) return wall;
  const movedMs = offsetMs - wall.offsetMs;
  const isStep = Math.abs(movedMs) > STEP_MS + (uptimeMs - wall.uptimeMs) * SLEW;
  if (!isStep && Math.abs(movedMs) < STEP_MS && uptimeMs - wall.uptimeMs < REMEMBER_MS) return wall;
  return { ...wall, uptimeMs, offsetMs, ...(isStep && { steps: wall.steps + 1, lastStepMs: movedMs }) };
}

/** A claim that says nothing new is written down only so often: it costs a row. */
const REMEMBER_MS = 3_600_000;
