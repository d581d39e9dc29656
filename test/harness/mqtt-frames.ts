import { parser, type Packet } from 'mqtt-packet';

/** One packet: its bytes as they came, and what they say; null when they say nothing that can be read. */
export interface Frame {
  readonly bytes: Buffer;
  readonly packet: Packet | null;
}

/** MQTT 3.1.1, section 2.2.3: seven bits a byte, at most four bytes, the lowest first. */
const LENGTH_BYTES = 4;

/** Cuts one direction of a connection into packets (MQTT 3.1.1, section 2.2). */
export class MqttFrames {
  readonly #parser = parser({ protocolVersion: 4 });
  #rest: Buffer = Buffer.alloc(0);
  #read: Packet | null = null;

  constructor() {
    this.#parser.on('packet', (packet) => void (this.#read = packet));
    this.#parser.on('error', () => void (this.#read = null));
  }

  /** @returns the packets that are whole now, in their order */
  add(chunk: Buffer): Frame[] {
    const frames: Frame[] = [];
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (let size = sizeOf(this.#rest); size !== null && size <= this.#rest.length; size = sizeOf(this.#rest)) {
      const bytes = this.#rest.subarray(0, size);
      this.#rest = this.#rest.subarray(size);
      this.#read = null;
      this.#parser.parse(bytes);
      frames.push({ bytes, packet: this.#read });
    }
    return frames;
  }
}

/** The whole packet's size, once its header is there. */
function sizeOf(bytes: Buffer): number | null {
  let length = 0;
  for (let at = 1; at <= LENGTH_BYTES; at += 1) {
    const byte = bytes[at];
    if (byte === undefined) return null;
    length += (byte & 127) * 128 ** (at - 1);
    if (byte < 128) return 1 + at + length;
  }
  return bytes.length;
}
