import type { WallMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import type { OwnClock } from './own-clock.ts';

const MINUTE_MS = 60_000;
/** Older exchanges are told of by devices that were away: they are judged by what is configured, or worse. */
const KEPT_MINUTES = 2 * 24 * 60;

export interface ErrorHistoryParts {
  readonly clock: Clock;
  readonly ownClock: OwnClock;
  /** How wrong the clock of any other running instance can be, in ms: a device tells any of them of its exchanges. */
  readonly fleetErrorMs: () => number;
  /** For stamps of a time of which nothing is known, in ms. */
  readonly configuredMs: number;
}

/**
 * How wrong the cloud's clocks could be when they stamped something. A report waits before it is recorded, and tells of
 * exchanges that were stamped long before: what the clock is worth by then says nothing of them.
 */
export class ErrorHistory {
  readonly #parts: ErrorHistoryParts;
  /** The worst of each minute of the wall clock, oldest first. */
  readonly #worst = new Map<number, number>();
  #unknownMs: number;
  #steppedMs = 0;

  constructor(parts: ErrorHistoryParts) {
    this.#parts = parts;
    this.#unknownMs = parts.configuredMs;
  }

  /** How wrong a stamp of this moment can be, in ms. Cheap; whatever is to be known later was asked about in its minute. */
  now = (): number => {
    const { clock, ownClock, fleetErrorMs } = this.#parts;
    const errorMs = Math.max(ownClock.errorMs(), fleetErrorMs());
    if (ownClock.steppedMs > this.#steppedMs) this.#doubt(ownClock.steppedMs - this.#steppedMs);
    this.#steppedMs = ownClock.steppedMs;
    this.#note(minuteOf(clock.wall()), errorMs);
    return errorMs;
  };

  /** How wrong a stamp can be that says this time, in ms. */
  at = (stamp: WallMs): number => {
    const nowMs = this.now();
    const minute = minuteOf(stamp);
    const thisMinute = minuteOf(this.#parts.clock.wall());
    // An instance whose clock is ahead stamps what is still to come here.
    if (!this.#worst.has(minute) && minute !== thisMinute + 1) return this.#unknownMs;
    // Figures are taken now and then: the minutes beside it bound what lies between two of them.
    const around = [minute - 1, minute, minute + 1].map((near) => this.#worst.get(near) ?? 0);
    return Math.max(...around, minute > thisMinute ? nowMs : 0);
  };

  #note(minute: number, errorMs: number): void {
    const known = this.#worst.get(minute);
    if (known !== undefined && known >= errorMs) return;
    this.#worst.set(minute, errorMs);
    this.#unknownMs = Math.max(this.#unknownMs, errorMs);
    if (this.#worst.size <= KEPT_MINUTES) return;
    const [oldest = minute] = this.#worst.keys();
    this.#worst.delete(oldest);
  }

  /** The clock was set: all that it stamped before may have been wrong by that. */
  #doubt(stepMs: number): void {
    for (const [minute, errorMs] of this.#worst) this.#worst.set(minute, errorMs + stepMs);
    this.#unknownMs += stepMs;
  }
}

const minuteOf = (wall: WallMs): number => Math.floor(wall / MINUTE_MS);
