/** A stream of numbers that its seed determines: sfc32, seeded through splitmix32. Passes PractRand; not secret. */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param stream tells streams of one seed apart: one for each device, so that none depends on how they interleave */
  constructor(seed: number, stream: number) {
    const next = splitmix32(seed ^ Math.imul(stream + 1, 0x9e3779b1));
    this.#a = next();
    this.#b = next();
    this.#c = next() ^ stream;
    for (let n = 0; n < 12; n++) this.unit();
  }

  /** From 0, inclusive, to 1, exclusive. */
  unit(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** Evenly over orders of magnitude: as many between 1 and 10 as between 10 and 100. */
  logBetween(low: number, high: number): number {
    return low * (high / low) ** this.unit();
  }

  exponential(mean: number): number {
    return -mean * Math.log(1 - this.unit());
  }

  /** Mean 0, standard deviation 1 (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  sign(): -1 | 1 {
    return this.chance(0.5) ? 1 : -1;
  }

  /** One of the rows, as often as its weight says. */
  pick<Row extends { readonly weight: number }>(rows: readonly Row[]): Row {
    let left = this.unit() * rows.reduce((sum, { weight }) => sum + weight, 0);
    const chosen = rows.find(({ weight }) => (left -= weight) < 0) ?? rows.at(-1);
    if (chosen === undefined) throw new Error('There is nothing to choose from');
    return chosen;
  }
}

function splitmix32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
