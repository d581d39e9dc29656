import type { RefusalCode } from '@paddock/shared/errors.ts';
import type { BrokerClient, Clock, Log, Metrics } from '../ports.ts';
import { SparingLog } from './sparing-log.ts';

/** Names come from the wire, up to 64 KiB long. */
const SHOWN_CHARS = 64;

/**
 * Clients that break the broker's rules, before anything of theirs is a message: all are counted, and some of them
 * told, because anybody who reaches the port can be one, as often as the network allows.
 */
export class Strangers {
  readonly #metrics: Metrics;
  readonly #log: SparingLog;

  constructor({ clock, metrics, log }: { clock: Clock; metrics: Metrics; log: Log }) {
    this.#metrics = metrics;
    this.#log = new SparingLog(clock, (fields, message) => log.warn(fields, message));
  }

  foreign({ clientId }: BrokerClient, topic: string | null): void {
    this.#refuse('topic_foreign', { clientId, topic }, 'A client wanted a topic that is not its own');
  }

  oversized({ clientId }: BrokerClient): void {
    this.#refuse('envelope_too_large', { clientId }, 'A client sent more than a message may hold');
  }

  #refuse(code: RefusalCode, names: Readonly<Record<string, string | null>>, message: string): void {
    this.#metrics.count('paddock_reports_rejected_total', { code });
    const shown = Object.entries(names).map(([name, text]) => [name, text?.slice(0, SHOWN_CHARS)] as const);
    this.#log.tell({ code, ...Object.fromEntries(shown) }, message);
  }
}
