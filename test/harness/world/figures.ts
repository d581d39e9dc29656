/** Many numbers, in little memory: at 1,000,000 reports an array of objects would be the bench. */
export class Figures {
  #values = new Float64Array(1024);
  #count = 0;
  #isSorted = false;

  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(2 * this.#count);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count++] = value;
    this.#isSorted = false;
  }

  get count(): number {
    return this.#count;
  }

  /** @param share from 0 to 1; @returns null when there are no numbers, Infinity when the one asked for is unbounded */
  quantile(share: number): number | null {
    if (this.#count === 0) return null;
    if (!this.#isSorted) this.#values.subarray(0, this.#count).sort();
    this.#isSorted = true;
    return this.#values[Math.min(this.#count - 1, Math.floor(this.#count * share))] ?? null;
  }
}
