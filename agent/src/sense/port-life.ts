import type { Clock, PortLoss, PortStatus } from '../ports.ts';
import { DriverError } from '../ports-driver.ts';
import { GpioError } from '../ports-gpio.ts';

/** What a kind of port does in its life; {@link PortLife} decides when. */
export interface PortCourse {
  /** Opens. Calls `lost` when the port goes away by itself. Rejects when it cannot be opened. */
  connect(lost: (loss: PortLoss) => void): Promise<void>;
  /** Works until the signal aborts. Rejects when the port turns out to be gone. */
  serve(signal: AbortSignal): Promise<void>;
  /** Never rejects. */
  disconnect(): Promise<void>;
  /** Hears of every loss, failed attempts to open included. */
  lost(loss: PortLoss): void;
}

const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 30_000;
/** A port that stood this long was well; one that goes at once is not asked again at once. */
const STOOD_MS = 10_000;

/** The ways in which opening fails, by what the system says: what they are, and what to do about them. */
const WAYS = [
  [/no such file/i, 'unplugged', 'there is no such device: is it plugged in, and is the path right?'],
  [
    /permission denied/i,
    'denied',
    'permission is denied: add the user to the group that owns the device (dialout on Debian)',
  ],
  [/not permitted/i, 'denied', 'the service may not use the device: DeviceAllow of its unit has to name it'],
  [/cannot lock port|resource busy/i, 'busy', 'another program has the port open'],
  [/inappropriate ioctl/i, 'refused', 'this is not a serial device'],
] as const;

/** @param cause of a port that could not be opened */
export function lossOf(cause: unknown): PortLoss {
  if (cause instanceof GpioError || cause instanceof DriverError)
    return { reason: cause.reason, code: cause.code, detail: cause.message };
  const message = cause instanceof Error ? cause.message : String(cause);
  const [, reason, advice] = WAYS.find(([said]) => said.test(message)) ?? [];
  return { reason: reason ?? 'unplugged', detail: advice === undefined ? message : `${advice} (${message})` };
}

/**
 * How long to wait before the next attempt: doubled every time, and spread over its upper half,
 * so that ports that went together do not come back together.
 * @param random from 0 to 1
 */
export function reopenDelayMs(attempt: number, random: number): number {
  const delay = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt, 16));
  return Math.round(delay * (0.5 + random / 2));
}

/** Opens a port and opens it again whenever it is lost, until it is closed. */
export class PortLife {
  readonly #course: PortCourse;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  #session = new AbortController();
  #status: PortStatus = { state: 'closed', detail: null };
  #running: Promise<void> = Promise.resolve();
  #lives = 0;
  #isUp = false;

  constructor(course: PortCourse, clock: Clock, random: () => number) {
    this.#course = course;
    this.#clock = clock;
    this.#random = random;
  }

  start(): void {
    this.#status = { state: 'opening', detail: null };
    this.#running = this.#run();
  }

  status(): PortStatus {
    return this.#status;
  }

  /** Which opening of the port stands, from 1; 0 while it is not open. */
  life(): number {
    return this.#isUp ? this.#lives : 0;
  }

  /** For what the course finds out while it serves. */
  note(status: PortStatus): void {
    this.#status = status;
  }

  /** Resolves when the port is closed and nothing of it runs any more. */
  close(): Promise<void> {
    this.#closing.abort();
    this.#session.abort();
    return this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    let attempt = 0;
    while (!signal.aborted) {
      const { loss, stood } = await this.#live();
      if (signal.aborted) break;
      this.#status = { state: 'lost', detail: loss.detail, ...(loss.code !== undefined && { code: loss.code }) };
      this.#course.lost(loss);
      attempt = stood ? 0 : attempt + 1;
      await this.#clock.sleep(reopenDelayMs(attempt, this.#random()), signal);
    }
    this.#status = { state: 'closed', detail: null };
  }

  /** One life of the port, from opening to loss. @returns why it ended, and whether it had stood */
  async #live(): Promise<{ loss: PortLoss; stood: boolean }> {
    const session = new AbortController();
    this.#session = session;
    let loss: PortLoss = { reason: 'unplugged', detail: 'the port is gone' };
    let openedAt: number | null = null;
    try {
      await this.#course.connect((why) => {
        if (!session.signal.aborted) loss = why;
        this.#isUp = false;
        session.abort();
      });
      openedAt = this.#clock.monotonic();
      this.#status = { state: 'open', detail: null };
      this.#lives += 1;
      this.#isUp = !session.signal.aborted;
      if (!this.#closing.signal.aborted) await this.#course.serve(session.signal);
    } catch (cause) {
      loss = lossOf(cause);
    }
    this.#isUp = false;
    await this.#course.disconnect();
    return { loss, stood: openedAt !== null && this.#clock.monotonic() - openedAt >= STOOD_MS };
  }
}
