/**
 * Bounds what a broker's parser holds in memory until a packet is whole, before it is held: a parser without such
 * a bound buffers whatever length a stranger announces, up to the format's 256 MB.
 */

/** No message of the protocol needs more; what is larger than an envelope still gets its refusal up to here. */
const MAX_PACKET_BYTES = 2_097_152;
/** Packets up to here are not counted: a report is a few kB. */
const SMALL_PACKET_BYTES = 8_192;
/** What all connections together may have on the way in packets that are not small. */
const MAX_TOGETHER_BYTES = 67_108_864;
/** MQTT 3.1.1, section 2.2.3: seven bits a byte, at most four bytes, the lowest first. */
const LENGTH_BYTES = 4;

/** What the packets on their way announce together, over all connections of a broker. */
export class PacketBudget {
  #taken = 0;

  take(bytes: number): boolean {
    if (this.#taken + bytes > MAX_TOGETHER_BYTES) return false;
    this.#taken += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** Follows one connection's bytes from fixed header to fixed header (MQTT 3.1.1, section 2.2). */
export class PacketGuard {
  readonly #budget: PacketBudget;
  /** Bytes of the current packet still to come, while its length is known. */
  #left = 0;
  /** Bytes of the length field that were read; null before a packet's first byte. */
  #lengthBytes: number | null = null;
  #length = 0;
  #held = 0;

  constructor(budget: PacketBudget) {
    this.#budget = budget;
  }

  /** @returns false when a packet that begins here is too large, or its length is no length: end the connection */
  admit(chunk: Uint8Array): boolean {
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) at += this.#skip(chunk.length - at);
      else if (!this.#readHeader(chunk[at++] ?? 0)) return false;
    }
    return true;
  }

  /** The connection is over: what it held is free. */
  end(): void {
    this.#budget.give(this.#held);
    this.#held = 0;
  }

  #skip(available: number): number {
    const bytes = Math.min(this.#left, available);
    this.#left -= bytes;
    if (this.#left === 0) this.end();
    return bytes;
  }

  #readHeader(byte: number): boolean {
    if (this.#lengthBytes === null) {
      this.#lengthBytes = 0;
      this.#length = 0;
      return true;
    }
    this.#length += (byte & 127) * 128 ** this.#lengthBytes;
    this.#lengthBytes += 1;
    if ((byte & 128) !== 0) return this.#lengthBytes < LENGTH_BYTES;
    this.#lengthBytes = null;
    this.#left = this.#length;
    return this.#hold();
  }

  #hold(): boolean {
    if (this.#length <= SMALL_PACKET_BYTES) return true;
    if (this.#length > MAX_PACKET_BYTES || !this.#budget.take(this.#length)) return false;
    this.#held = this.#length;
    return true;
  }
}
