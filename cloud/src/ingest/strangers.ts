import type { RefusalCode } from '@paddock/shared/errors.ts';
import type { Clock, Log, Metrics } from '../ports.ts';

const TELL_EVERY_MS = 10_000;
/** Names come from the wire, up to 64 KiB long. */
const SHOWN_CHARS = 64;

/**
 * Clients that break the broker's rules, before anything of theirs is a message: all are counted, and some of them
 * told, because anybody who reaches the port can be one, as often as the network allows.
 */
export class Strangers {
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #log: Log;
  #toldAt = -Infinity;
  #untold = 0;

  constructor(deps: { clock: Clock; metrics: Metrics; log: Log }) {
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#log = deps.log;
  }

  foreign(clientId: string, topic: string): void {
    this.#refuse('topic_foreign', { clientId, topic }, 'A client published what is not its own');
  }

  oversized(clientId: string): void {
    this.#refuse('envelope_too_large', { clientId }, 'A client sent more than a message may hold');
  }

  #refuse(code: RefusalCode, names: Readonly<Record<string, string | null>>, message: string): void {
    this.#metrics.count('paddock_reports_rejected_total', { code });
    if (this.#clock.monotonic() - this.#toldAt < TELL_EVERY_MS) return void (this.#untold += 1);
    const shown = Object.entries(names).map(([name, text]) => [name, text?.slice(0, SHOWN_CHARS)] as const);
    this.#log.warn({ code, ...Object.fromEntries(shown), untoldBefore: this.#untold }, message);
    this.#toldAt = this.#clock.monotonic();
    this.#untold = 0;
  }
}
