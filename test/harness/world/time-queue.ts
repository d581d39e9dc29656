interface Entry<Item> {
  readonly at: number;
  /** Keeps what happens at one moment in the order in which it was put in. */
  readonly order: number;
  readonly item: Item;
}

/** What will happen, earliest first: a binary heap. */
export class TimeQueue<Item> {
  readonly #heap: Entry<Item>[] = [];
  #order = 0;

  push(at: number, item: Item): void {
    const heap = this.#heap;
    const entry = { at, order: this.#order++, item };
    let hole = heap.length;
    heap.push(entry);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || before(above, entry)) break;
      heap[hole] = above;
      hole = parent;
    }
    heap[hole] = entry;
  }

  pop(): { readonly at: number; readonly item: Item } | null {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (first === undefined || last === undefined) return null;
    if (this.#heap.length > 0) this.#sink(last);
    return first;
  }

  #sink(entry: Entry<Item>): void {
    const heap = this.#heap;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      let below = heap[child];
      const right = heap[child + 1];
      if (below !== undefined && right !== undefined && before(right, below)) {
        child += 1;
        below = right;
      }
      if (below === undefined || before(entry, below)) break;
      heap[hole] = below;
      hole = child;
    }
    heap[hole] = entry;
  }
}

const before = (a: Entry<unknown>, b: Entry<unknown>): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);
