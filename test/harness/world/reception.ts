import { wallMs } from '@paddock/shared/time.ts';
import type { Agenda } from './agenda.ts';
import { CloudClock } from './cloud-clock.ts';
import type { Outbox, Sealed } from './outbox.ts';
import type { Random } from './random.ts';
import { WORLD_BEGAN_MS } from './spans.ts';
import type { Exchange, WorldLine } from './trace.ts';

/** What an answer says. */
export interface Answer {
  readonly cloud: Pick<Exchange, 'cloudReceivedAt' | 'cloudSentAt'>;
  readonly covered: ReadonlySet<Sealed>;
}

/** Where one device's messages reach the cloud: each becomes a line, and some are answered after a while. */
export class Reception {
  readonly #agenda: Agenda;
  readonly #random: Random;
  readonly #clock: CloudClock;
  readonly #outbox: Outbox;
  readonly #lines: WorldLine[] = [];
  /** By how much the clock was wrong when it stamped a boot last, and how often that changed. */
  #wrong = { bootId: '', byMs: 0, changes: 0 };

  constructor(agenda: Agenda, random: Random, clock: CloudClock, outbox: Outbox) {
    this.#agenda = agenda;
    this.#random = random;
    this.#clock = clock;
    this.#outbox = outbox;
  }

  nextLine(): WorldLine | null {
    return this.#lines.shift() ?? null;
  }

  take(sealed: Sealed, handedAt: number, answer: (answer: Answer) => void): void {
    const { now } = this.#agenda;
    const cloudReceivedAt = wallMs(this.#clock.stamp(now));
    const { saysErrorMs } = this.#clock;
    this.#lines.push({
      line: { ...sealed.line, receivedAt: cloudReceivedAt, ...(saysErrorMs !== null && { cloudErrorMs: saysErrorMs }) },
      truth: sealed.truth,
      arrivedAt: WORLD_BEGAN_MS + now,
      handedAt: WORLD_BEGAN_MS + handedAt,
      broken: sealed.boot.broken + this.#setMeanwhile(sealed.line.boot.id),
    });
    sealed.recorded = true;
    if (!sealed.asks) return;
    this.#agenda.later(CloudClock.workMs(this.#random), () => {
      const cloudSentAt = wallMs(this.#clock.stamp(this.#agenda.now));
      answer({ cloud: { cloudReceivedAt, cloudSentAt }, covered: this.#outbox.recorded() });
    });
  }

  /** Stamps of one boot by a clock that was set meanwhile contradict each other. */
  #setMeanwhile(bootId: string): number {
    const byMs = this.#clock.setWrongBy(this.#agenda.now);
    const { changes } = this.#wrong;
    if (this.#wrong.bootId !== bootId) this.#wrong = { bootId, byMs, changes: 0 };
    else if (this.#wrong.byMs !== byMs) this.#wrong = { bootId, byMs, changes: changes + 1 };
    return this.#wrong.changes;
  }
}
