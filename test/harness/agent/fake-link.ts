import type { Link, LinkEvents } from '@paddock/agent/ports.ts';

export interface Published {
  readonly topic: string;
  readonly payload: string;
}

/** The Link port without a network: a test is the broker. */
export class FakeLink implements Link {
  readonly published: Published[] = [];
  closed = false;
  #events: LinkEvents | null = null;
  #online = false;
  #lose = 0;

  open(events: LinkEvents): void {
    this.#events = events;
  }

  async publish(topic: string, payload: string): Promise<void> {
    if (!this.#online) throw Object.assign(new Error('offline'), { code: 'link_offline' });
    if (this.#lose > 0) this.#lose -= 1;
    else this.published.push({ topic, payload });
  }

  async close(): Promise<void> {
    this.closed = true;
    this.#online = false;
  }

  /** The next messages are acknowledged and lost, as a broker without a subscriber does. */
  loseNext(count: number): void {
    this.#lose = count;
  }

  connect(): void {
    this.#online = true;
    this.#events?.online();
  }

  cut(): void {
    this.#online = false;
    this.#events?.offline('cut');
  }

  deliver(topic: string, payload: string): void {
    this.#events?.message(topic, payload);
  }
}
