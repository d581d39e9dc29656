import { BusError, type Clock, type DuplexStream, type LineQuestion, type SharedLine } from '../ports.ts';

interface Asked {
  readonly judge: NonNullable<LineQuestion['judge']>;
  /** Null when it was given up: its answer may still come, and is nobody's. */
  readonly settle: ((line: string | BusError) => void) | null;
}

export interface LineExchangeOptions {
  readonly stream: Pick<DuplexStream, 'write'>;
  readonly clock: Clock;
  readonly life: () => number;
}

/**
 * Questions on a line on which a device also speaks of its own accord. Invariant: one question at a time, and after one
 * that was given up none before its answer would have come, because an answer does not say what it answers.
 */
export class LineExchange implements SharedLine {
  readonly #options: LineExchangeOptions;
  #last: Promise<unknown> = Promise.resolve();
  #asked: Asked | null = null;

  constructor(options: LineExchangeOptions) {
    this.#options = options;
  }

  life(): number {
    return this.#options.life();
  }

  ask(question: LineQuestion): Promise<string> {
    const answered = this.#last.then(() => this.#ask(question));
    this.#last = answered.catch(() => undefined);
    return answered;
  }

  /** @returns whether the line was for somebody who asked */
  hears(line: string): boolean {
    const asked = this.#asked;
    const judged = asked?.judge(line) ?? null;
    if (asked === null || judged === null) return false;
    this.#asked = null;
    asked.settle?.(
      judged === 'answer' ? line : new BusError('refused', `it said ${JSON.stringify(line.slice(0, 80))}`),
    );
    return true;
  }

  /** The port went away. */
  lost(): void {
    const asked = this.#asked;
    this.#asked = null;
    asked?.settle?.(new BusError('unplugged', 'the port went away'));
  }

  async #ask({ bytes, judge, timeoutMs }: LineQuestion): Promise<string> {
    const { stream, clock } = this.#options;
    if (this.#asked !== null) await clock.sleep(timeoutMs);
    this.#asked = null;
    if (this.life() === 0) throw new BusError('unplugged', 'the port is not open');
    const over = new AbortController();
    const said = new Promise<string | BusError>((settle) => {
      if (judge !== undefined) this.#asked = { judge, settle };
      stream.write(bytes).then(
        () => judge === undefined && settle(''),
        (cause: unknown) => settle(new BusError('unplugged', String(cause), { cause })),
      );
      // A line that takes nothing must not be waited for either.
      void clock.sleep(timeoutMs, over.signal).then(() => settle(new BusError('no-answer', 'no answer in time')));
    });
    const answer = await said;
    over.abort();
    if (typeof answer === 'string') return answer;
    this.#asked = answer.code === 'no-answer' && judge !== undefined ? { judge, settle: null } : null;
    throw answer;
  }
}
