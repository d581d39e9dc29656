import { EventEmitter } from 'node:events';
import type { DuplexStream, PortLoss } from '../ports.ts';

/** Unit, function, exception code and CRC: the shortest answer. */
const EXCEPTION_BYTES = 5;
const EXCEPTION_BIT = 0x80;
const READS_BITS = 2;
/** Writing one coil or one register: the answer is as long as the question. */
const WRITES_ONE: readonly number[] = [5, 6];
/** The longest frame there is (Modbus over Serial Line 1.02, section 2.5.1). */
const MAX_FRAME_BYTES = 256;

interface Expected {
  readonly unit: number;
  readonly code: number;
  readonly length: number;
}

/**
 * A serial line as modbus-serial wants it: `data` brings one whole answer to the last question.
 * Whatever arrived before a question is no answer to it and is thrown away.
 */
export class FramePort extends EventEmitter {
  readonly #stream: DuplexStream;
  #isOpen = false;
  #received = Buffer.alloc(0);
  #expected: Expected | null = null;

  constructor(stream: DuplexStream) {
    super();
    this.#stream = stream;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  open(callback: (error?: Error) => void): void {
    const bytes = (chunk: Uint8Array): void => this.#receive(chunk);
    const lost = (loss: PortLoss): void => {
      this.#isOpen = false;
      this.emit('error', new Error(loss.detail));
    };
    this.#stream.open({ bytes, lost }).then(
      () => {
        this.#isOpen = true;
        callback();
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
    );
  }

  close(callback: () => void): void {
    this.#isOpen = false;
    void this.#stream.close().then(callback);
  }

  write(question: Buffer): void {
    const [unit = 0, code = 0] = question;
    this.#expected = { unit, code, length: answerBytes(code, question) };
    this.#received = Buffer.alloc(0);
    this.#stream.write(question).catch((error: unknown) => this.emit('error', error));
  }

  #receive(chunk: Uint8Array): void {
    const expected = this.#expected;
    if (expected === null) return;
    this.#received = Buffer.concat([this.#received, chunk]).subarray(-2 * MAX_FRAME_BYTES);
    const frame = frameIn(this.#received, expected);
    if (frame === null) return;
    this.#expected = null;
    this.emit('data', frame);
  }
}

function answerBytes(code: number, question: Buffer): number {
  if (WRITES_ONE.includes(code)) return question.length;
  const count = question.readUInt16BE(4);
  return EXCEPTION_BYTES + (code <= READS_BITS ? Math.ceil(count / 8) : count * 2);
}

/** Finds the answer behind any noise: the first place where unit and function fit and enough bytes follow. */
function frameIn(received: Buffer, { unit, code, length }: Expected): Buffer | null {
  for (let at = 0; at + EXCEPTION_BYTES <= received.length; at += 1) {
    if (received[at] !== unit) continue;
    const answered = received[at + 1];
    if (answered === (code | EXCEPTION_BIT)) return received.subarray(at, at + EXCEPTION_BYTES);
    if (answered === code && at + length <= received.length) return received.subarray(at, at + length);
  }
  return null;
}
