import type { Clock, Inbound } from '../ports.ts';

export interface AdmissionLimits {
  /** Messages, and the bytes of envelopes and payloads, in memory; past either acknowledgements are held back. */
  readonly waiting: number;
  readonly waitingBytes: number;
  /** How long an acknowledgement is held back, in ms, before the message is let go: its device sends it again. */
  readonly holdMs: number;
}

interface Held {
  readonly inbound: Inbound;
  readonly until: number;
  readonly resolve: (taken: boolean) => void;
}

interface AdmissionDeps {
  readonly clock: Clock;
  readonly limits: AdmissionLimits;
  /** Called for each message that is let in, in the same step as the look whether there is room. */
  readonly take: (inbound: Inbound) => void;
  readonly waitingChanged: (messages: number) => void;
}

/** How often held messages are looked after, in ms. */
const POLL_MS = 20;

/** Bounds what ingest has in memory: past the bounds messages wait outside, unacknowledged, and are let go in the end. */
export class Admission {
  readonly #deps: AdmissionDeps;
  readonly #closing = new AbortController();
  /** Messages that were let in and are neither recorded nor refused. */
  #waiting = 0;
  #waitingBytes = 0;
  /** Messages whose acknowledgement is held back, oldest first. */
  readonly #held: Held[] = [];
  #heldBytes = 0;
  #isWatchingHeld = false;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  get waiting(): number {
    return this.#waiting;
  }

  /** From 0, nothing waits, to 1, no more is let in. */
  get fullness(): number {
    const { limits } = this.#deps;
    return Math.min(1, Math.max(this.#waiting / limits.waiting, this.#waitingBytes / limits.waitingBytes));
  }

  /** Resolves when the message may be acknowledged: with true when it was let in, with false when it was let go. */
  async accept(inbound: Inbound): Promise<boolean> {
    return this.#letIn(inbound) || this.#hold(inbound);
  }

  /** More waits, or less: then there is room for others. */
  wait(messages: number, bytes: number): void {
    this.#waiting += messages;
    this.#waitingBytes += bytes;
    this.#deps.waitingChanged(this.#waiting);
    if (messages < 0) this.#admitHeld();
  }

  /** Lets nothing in any more, and lets go of what is held. */
  close(): void {
    this.#closing.abort();
  }

  /** Looks and lets in within one step, so that a burst cannot slip through together. */
  #letIn(inbound: Inbound): boolean {
    if (this.fullness >= 1 || this.#closing.signal.aborted) return false;
    this.wait(1, inbound.payload.length);
    this.#deps.take(inbound);
    return true;
  }

  /** Waits in line for room. */
  #hold(inbound: Inbound): Promise<boolean> {
    if (this.#closing.signal.aborted) return Promise.resolve(false);
    const { clock, limits } = this.#deps;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#held.push({ inbound, until: clock.monotonic() + limits.holdMs, resolve });
    this.#heldBytes += inbound.payload.length;
    // As many connections as there are may each hold some: what waits outside is in memory, too.
    while (this.#heldBytes > limits.waitingBytes) this.#releaseOldest(false);
    if (!this.#isWatchingHeld) void this.#watchHeld();
    return promise;
  }

  #releaseOldest(taken: boolean): void {
    const oldest = this.#held.shift();
    if (oldest === undefined) return;
    this.#heldBytes -= oldest.inbound.payload.length;
    oldest.resolve(taken);
  }

  /** Room has come: first come, first served. */
  #admitHeld(): void {
    for (let next = this.#held[0]; next !== undefined && this.#letIn(next.inbound); next = this.#held[0])
      this.#releaseOldest(true);
  }

  /** One loop for all that wait, because each of them waits equally long. */
  async #watchHeld(): Promise<void> {
    const { clock } = this.#deps;
    this.#isWatchingHeld = true;
    while (this.#held.length > 0) {
      await clock.sleep(POLL_MS, this.#closing.signal);
      const now = this.#closing.signal.aborted ? Infinity : clock.monotonic();
      for (let next = this.#held[0]; next !== undefined && next.until <= now; next = this.#held[0])
        this.#releaseOldest(false);
    }
    this.#isWatchingHeld = false;
  }
}
