/**
 * Bounds what a broker's parser holds in memory until a packet is whole, before it is held: a parser without such
 * a bound buffers whatever length a stranger announces, up to the format's 256 MB.
 */

/** No message of the protocol needs more; what is larger than an envelope still gets its refusal up to here. */
const MAX_PACKET_BYTES = 2_097_152;
/** The first packet, by which a client says who it is: a Last Will of the largest envelope fits. */
const MAX_FIRST_BYTES = 131_072;
/** MQTT 3.1.1, section 2.2.3: seven bits a byte, at most four bytes, the lowest first. */
const LENGTH_BYTES = 4;

/** Why a packet ends its connection: it is too large, or its length is none. */
export type PacketBreach = 'too_large' | 'malformed';

/** Follows one connection's bytes from fixed header to fixed header (MQTT 3.1.1, section 2.2). */
export class PacketGuard {
  /** Bytes of the current packet still to come, while its length is known. */
  #left = 0;
  /** Bytes of the length field that were read; null before a packet's first byte. */
  #lengthBytes: number | null = null;
  #length = 0;
  #number = 0;

  /** Which packet began last, counted from 1. */
  get number(): number {
    return this.#number;
  }

  /** Whether the last packet that began is not whole yet. */
  get isBegun(): boolean {
    return this.#left > 0 || this.#lengthBytes !== null;
  }

  /** The length of a packet that is not whole yet, as far as it is known. */
  get bytes(): number {
    return this.#left > 0 ? this.#length : 0;
  }

  /** @returns why a packet that begins here ends the connection, or null */
  admit(chunk: Uint8Array): PacketBreach | null {
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const bytes = Math.min(this.#left, chunk.length - at);
        this.#left -= bytes;
        at += bytes;
      } else {
        const breach = this.#readHeader(chunk[at++] ?? 0);
        if (breach !== null) return breach;
      }
    }
    return null;
  }

  #readHeader(byte: number): PacketBreach | null {
    if (this.#lengthBytes === null) {
      this.#lengthBytes = 0;
      this.#length = 0;
      this.#number += 1;
      return null;
    }
    this.#length += (byte & 127) * 128 ** this.#lengthBytes;
    this.#lengthBytes += 1;
    if ((byte & 128) !== 0) return this.#lengthBytes < LENGTH_BYTES ? null : 'malformed';
    this.#lengthBytes = null;
    this.#left = this.#length;
    return this.#length > (this.#number === 1 ? MAX_FIRST_BYTES : MAX_PACKET_BYTES) ? 'too_large' : null;
  }
}
