/** What all connections together may have on the way in packets that are not small. */
const MAX_TOGETHER_BYTES = 67_108_864;
/** Such packets of one device at once: what is left of the connection before may still hold one. */
const MAX_OF_ONE = 2;

/** Room for one packet, for whoever asks. */
interface Share {
  readonly owner: string;
  readonly bytes: number;
  /** Called once, when there is room: at once or later. */
  readonly granted: () => void;
}

/**
 * The memory that large packets on their way may take, over all connections of a broker. Who finds no room waits, in the
 * order of coming, and one device's packets take no more than its share: it may be slow, and harms nobody.
 */
export class PacketBudget {
  readonly #waiting = new Set<Share>();
  readonly #granted = new Set<Share>();
  readonly #ofOne = new Map<string, number>();
  #taken = 0;

  /** @returns gives the room back, or stops waiting for it */
  take(share: Share): () => void {
    this.#waiting.add(share);
    this.#grant();
    return () => this.#end(share);
  }

  #grant(): void {
    for (const share of this.#waiting) {
      const { owner, bytes, granted } = share;
      const held = this.#ofOne.get(owner) ?? 0;
      if (held >= MAX_OF_ONE) continue;
      // Nobody behind it goes first, or a large one would wait for ever.
      if (this.#taken + bytes > MAX_TOGETHER_BYTES) return;
      this.#waiting.delete(share);
      this.#granted.add(share);
      this.#ofOne.set(owner, held + 1);
      this.#taken += bytes;
      granted();
    }
  }

  #end(share: Share): void {
    this.#waiting.delete(share);
    if (this.#granted.delete(share)) {
      const held = (this.#ofOne.get(share.owner) ?? 0) - 1;
      if (held > 0) this.#ofOne.set(share.owner, held);
      else this.#ofOne.delete(share.owner);
      this.#taken -= share.bytes;
    }
    this.#grant();
  }
}
