import type { Clock, KernelClock, KernelEstimate } from '../ports.ts';

/** Where the bound of this machine's clock comes from. */
export type ClockSource = 'kernel' | 'configured';

export interface ClockBound {
  readonly errorMs: number;
  readonly source: ClockSource;
}

/** Stamps are whole milliseconds, rounded down: they can be early by this, whatever the kernel promises. */
const STAMP_MS = 1;

/**
 * How wrong the clock can be. A kernel that is synchronized knows: its maximum error is what the time daemon measured,
 * and grows by 500 ppm until the daemon speaks again (RFC 5905, adjtimex(2)), so it is a bound at every moment and is
 * taken as it is, larger or smaller than the configured one. Not believed is a daemon that wrote no error at all, as
 * systemd-timesyncd does: then the kernel's figure says only how long ago that was.
 */
export function boundOf(estimate: KernelEstimate | null, configuredMs: number): ClockBound {
  if (estimate === null || estimate.estimatedErrorMs === 0) return { errorMs: configuredMs, source: 'configured' };
  return { errorMs: Math.ceil(estimate.maxErrorMs) + STAMP_MS, source: 'kernel' };
}

/** What the wall clock shows less what the monotonic one counts lies in between: the two are never read at once. */
export interface Span {
  readonly lowMs: number;
  readonly highMs: number;
}

/** By how much the wall clock was set between two looks at least; NTP's slewing moves both clocks alike. */
export function stepBetween(before: Span, after: Span): number {
  if (after.lowMs > before.highMs) return after.lowMs - before.highMs;
  return after.highMs < before.lowMs ? after.highMs - before.lowMs : 0;
}

export interface OwnClockParts {
  readonly clock: Clock;
  readonly kernel: KernelClock;
  readonly configuredMs: number;
  /** The wall clock was set by more than it claimed to be wrong; negative when it was set back. */
  onStep(stepMs: number): void;
}

/** The kernel is asked at most this often. */
const REREAD_MS = 2_000;
/** Who steps a clock that no daemon looks after means it: after this long the new time is taken for right. */
const SETTLED_AFTER_MS = 600_000;

/**
 * What this instance's clock is worth. After a step nobody knows whether the time before it or after it was right, so
 * the step itself is part of the error, until the kernel says anew how wrong the clock is (setting a clock makes the
 * kernel forget that) or, without a kernel that knows, for ten minutes.
 */
export class OwnClock {
  readonly #parts: OwnClockParts;
  #bound: ClockBound;
  #readAt: number;
  #before: Span;
  #step: { readonly ms: number; readonly at: number } | null = null;
  #steps = 0;
  #steppedMs = 0;

  constructor(parts: OwnClockParts) {
    this.#parts = parts;
    this.#bound = boundOf(parts.kernel.estimate(), parts.configuredMs);
    this.#readAt = parts.clock.monotonic();
    this.#before = spanOf(parts.clock);
  }

  /** How wrong a stamp of this moment can be, in ms. Cheap enough for every message. */
  errorMs = (): number => {
    this.#look();
    return this.#bound.errorMs + (this.#step?.ms ?? 0);
  };

  get source(): ClockSource {
    return this.#bound.source;
  }

  /** Steps since the start of the service. */
  get steps(): number {
    return this.#steps;
  }

  /** By how much it was set since then, in ms, whichever way each time. */
  get steppedMs(): number {
    return this.#steppedMs;
  }

  #look(): void {
    const now = this.#parts.clock.monotonic();
    this.#findStep(now);
    if (now - this.#readAt >= REREAD_MS) this.#reread(now);
    const isSettled = this.#step !== null && now - this.#step.at >= SETTLED_AFTER_MS;
    if (isSettled) this.#step = null;
  }

  #findStep(now: number): void {
    const span = spanOf(this.#parts.clock);
    const stepMs = stepBetween(this.#before, span);
    if (Math.abs(stepMs) <= this.#bound.errorMs) return;
    this.#before = span;
    this.#steps += 1;
    this.#steppedMs += Math.abs(stepMs);
    this.#reread(now);
    this.#step = { ms: Math.abs(stepMs) + (this.#step?.ms ?? 0), at: now };
    this.#parts.onStep(stepMs);
  }

  #reread(now: number): void {
    this.#bound = boundOf(this.#parts.kernel.estimate(), this.#parts.configuredMs);
    this.#readAt = now;
    if (this.#bound.source === 'kernel') this.#step = null;
  }
}

function spanOf(clock: Clock): Span {
  const before = clock.monotonic();
  const wall = clock.wall();
  return { lowMs: wall - clock.monotonic(), highMs: wall + STAMP_MS - before };
}
