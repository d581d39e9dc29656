/** A binary heap: the first by an order, in logarithmic time. */
export class Heap<T> {
  readonly #items: T[];
  readonly #before: (a: T, b: T) => boolean;

  /** @param sorted what to begin with, in order: a sorted array is a heap */
  constructor(before: (a: T, b: T) => boolean, sorted: readonly T[] = []) {
    this.#before = before;
    this.#items = [...sorted];
  }

  get first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    let at = this.#items.push(item) - 1;
    while (at > 0 && this.#swapIfBefore(at, (at - 1) >> 1)) at = (at - 1) >> 1;
  }

  takeFirst(): T | undefined {
    const first = this.#items[0];
    const last = this.#items.pop();
    if (this.#items.length === 0 || last === undefined) return first;
    this.#items[0] = last;
    let at = 0;
    for (let child = this.#smallerChild(0); this.#swapIfBefore(child, at); child = this.#smallerChild(at)) at = child;
    return first;
  }

  #smallerChild(at: number): number {
    const left = 2 * at + 1;
    const [a, b] = [this.#items[left], this.#items[left + 1]];
    return a !== undefined && b !== undefined && this.#before(b, a) ? left + 1 : left;
  }

  #swapIfBefore(at: number, than: number): boolean {
    const [a, b] = [this.#items[at], this.#items[than]];
    if (a === undefined || b === undefined || !this.#before(a, b)) return false;
    this.#items[at] = b;
    this.#items[than] = a;
    return true;
  }
}
