import type { Held } from './sealed.ts';
import { StartBook, startKey, type StartName } from './start-book.ts';

/** After so many reports that do not ask, one is sent that does: a connection that breaks often gets on nevertheless. */
export const BATCH = 64;

/** The books of this start, which can always make a new report that asks, and of earlier ones, which cannot. */
export class StartBooks {
  readonly own: StartBook;
  readonly #books = new Map<string, StartBook>();
  /** Earlier starts with reports that were sent again and are covered by no ask yet. */
  readonly #unasked = new Set<StartBook>();

  constructor(own: StartName) {
    this.own = this.of(own);
  }

  of(start: StartName): StartBook {
    const key = startKey(start);
    const book = this.#books.get(key) ?? new StartBook(start);
    this.#books.set(key, book);
    return book;
  }

  find = (start: StartName): StartBook | null => this.#books.get(startKey(start)) ?? null;

  earlier = (): StartBook[] => [...this.#books.values()].filter((book) => book !== this.own);

  /** No answer can ever speak of it: nothing of its start asks. */
  isOrphan(entry: Held): boolean {
    const book = this.of(entry);
    return book !== this.own && book.asker === null;
  }

  /** Others of an earlier start could never be covered without it. */
  isNeededToAsk(entry: Held): boolean {
    const book = this.of(entry);
    return book !== this.own && book.asker?.digest === entry.digest && book.size > 1;
  }

  sent(entry: Held): void {
    const book = this.of(entry);
    if (entry.nonce !== null) {
      book.unasked = book.unaskedAgain = 0;
      this.#unasked.delete(book);
    } else if (!this.isOrphan(entry)) {
      book.unasked += 1;
      if (entry.live) return;
      book.unaskedAgain += 1;
      if (book !== this.own) this.#unasked.add(book);
    }
  }

  /** The earlier start that has to be asked about now: enough of it was sent, or another one is next. */
  endedBatch(next: StartName | undefined): StartBook | null {
    for (const book of this.#unasked) {
      const goesOn = next !== undefined && startKey(next) === startKey(book);
      if (book.asker !== null && (!goesOn || book.unaskedAgain >= BATCH)) return book;
    }
    return null;
  }

  /**
   * What was sent of an earlier start and not asked about may have arrived: the next connection asks before it goes on,
   * or one that always breaks within a batch would send the same reports for ever.
   */
  disconnected(): void {
    for (const book of this.#books.values()) {
      book.unasked = 0;
      book.unaskedAgain = this.#unasked.has(book) ? BATCH : 0;
    }
  }

  /** @returns the earlier starts of which nothing is held any more */
  forgetEmpty(): StartBook[] {
    const empty = this.earlier().filter(({ size }) => size === 0);
    for (const book of empty) {
      this.#books.delete(startKey(book));
      this.#unasked.delete(book);
    }
    return empty;
  }
}
