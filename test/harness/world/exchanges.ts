import type { Sealed } from './outbox.ts';
import type { Exchange } from './trace.ts';

const MOST_TOLD = 8;

interface Pending {
  readonly exchange: Exchange;
  readonly toldIn: Set<Sealed>;
}

/** The device's side of the exchanges that the cloud may not know of yet. */
export class Exchanges {
  #pending: Pending[] = [];

  /** Uptimes of another boot mean nothing. */
  startOver(): void {
    this.#pending = [];
  }

  add(exchange: Exchange): void {
    this.#pending.push({ exchange, toldIn: new Set() });
  }

  /** New ones travel in the next report; all that are not known to be recorded in the next one that asks. */
  toTell(asks: boolean): Exchange[] {
    return this.#chosen(asks).map(({ exchange }) => exchange);
  }

  told(asks: boolean, sealed: Sealed): void {
    for (const { toldIn } of this.#chosen(asks)) toldIn.add(sealed);
  }

  recorded(covered: ReadonlySet<Sealed>): void {
    this.#pending = this.#pending.filter(({ toldIn }) => ![...toldIn].some((sealed) => covered.has(sealed)));
  }

  #chosen(asks: boolean): Pending[] {
    return this.#pending.filter(({ toldIn }) => asks || toldIn.size === 0).slice(-MOST_TOLD);
  }
}
