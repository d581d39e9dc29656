import type { Clock } from '../ports.ts';

const TELL_EVERY_MS = 10_000;

/** For lines that one cause can repeat as often as messages arrive: now and then one, and how many were left out. */
export class SparingLog {
  readonly #clock: Clock;
  readonly #write: (fields: object, message: string) => void;
  #toldAt = -Infinity;
  #untold = 0;

  constructor(clock: Clock, write: (fields: object, message: string) => void) {
    this.#clock = clock;
    this.#write = write;
  }

  tell(fields: object, message: string): void {
    const now = this.#clock.monotonic();
    if (now - this.#toldAt < TELL_EVERY_MS) return void (this.#untold += 1);
    this.#write({ ...fields, untoldBefore: this.#untold }, message);
    this.#toldAt = now;
    this.#untold = 0;
  }
}
