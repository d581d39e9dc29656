import { realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import {
  DriverError,
  type DriverCode,
  type DriverEvents,
  type DriverHost,
  type DriverRun,
  type DriverStart,
  type DriverWord,
} from '../ports-driver.ts';

/** What the thread of a driver says. */
export type DriverTold =
  | { readonly kind: 'opened' }
  | { readonly kind: 'pong' }
  | { readonly kind: 'words'; readonly words: readonly DriverWord[] }
  | { readonly kind: 'failed'; readonly code: DriverCode; readonly detail: string };
/** What it is told. */
export type DriverOrder = 'ping' | 'close';

const MEMORY = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 } as const;
/** How long a driver may take to close its device. */
const CLOSE_WITHIN_MS = 1_000;
const OTHERS_WRITE = 0o002;
const STICKY = 0o1000;

/** @param program that of the thread */
export const createDriverHost = (program: URL): DriverHost => ({
  async start(start, events, signal) {
    const file = await trustedFile(start.file);
    signal.throwIfAborted();
    return new DriverThread(program, { ...start, file }, events).opened(signal);
  },
});

/**
 * Where the driver truly is. Whoever may write it, or put another one in its place, would run what he likes as the
 * agent: so nobody but root and the agent's own user may, all the way up.
 * @throws DriverError
 */
async function trustedFile(path: string): Promise<string> {
  const file = await realpath(path).catch((cause: unknown) => {
    throw new DriverError('driver_missing', path, { cause });
  });
  const mine = process.getuid?.() ?? 0;
  for (let at = file; ; at = dirname(at)) {
    const { uid, mode } = await stat(at);
    if (uid !== 0 && uid !== mine) throw new DriverError('driver_unsafe', `${at} belongs to user ${uid}`);
    const isOpen = (mode & OTHERS_WRITE) !== 0 && (at === file || (mode & STICKY) === 0);
    if (isOpen) throw new DriverError('driver_unsafe', `${at} may be written by everybody`);
    if (at === dirname(at)) return file;
  }
}

class DriverThread implements DriverRun {
  readonly #worker: Worker;
  readonly #events: DriverEvents;
  readonly #exited: Promise<void>;
  #settle: ((cause: DriverError | null) => void) | null = null;
  #isOver = false;

  constructor(program: URL, start: DriverStart, events: DriverEvents) {
    this.#events = events;
    // What a driver prints is nobody's: standard output is for people, standard error for the log.
    const options = { name: 'driver', workerData: start, resourceLimits: MEMORY, stdout: true, stderr: true };
    const worker = new Worker(program, options);
    this.#worker = worker;
    worker.stdout.resume();
    worker.stderr.resume();
    worker.on('message', (told: DriverTold) => this.#hear(told));
    worker.on('error', (cause) => this.#end(threw(cause)));
    this.#exited = new Promise((resolve) => {
      worker.on('exit', (code) => {
        this.#end(new DriverError('driver_threw', `it ended with ${code}`));
        resolve();
      });
    });
  }

  async opened(signal: AbortSignal): Promise<this> {
    const given = (): void => this.#end(new DriverError('driver_hung', 'it does not open'));
    signal.addEventListener('abort', given, { once: true });
    const cause = await new Promise<DriverError | null>((settle) => (this.#settle = settle));
    signal.removeEventListener('abort', given);
    if (cause === null) return this;
    await this.#worker.terminate();
    throw cause;
  }

  ping(): void {
    this.#order('ping');
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    this.#order('close');
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, CLOSE_WITHIN_MS)));
    await Promise.race([this.#exited, late]);
    clearTimeout(timer);
    await this.#worker.terminate();
  }

  #order(order: DriverOrder): void {
    this.#worker.postMessage(order, []);
  }

  #hear(told: DriverTold): void {
    if (told.kind === 'opened') this.#tell(null);
    if (this.#isOver) return;
    if (told.kind === 'pong') this.#events.pong();
    if (told.kind === 'words') this.#events.words(told.words);
    if (told.kind === 'failed') this.#end(new DriverError(told.code, told.detail));
  }

  #end(cause: DriverError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (!this.#tell(cause)) this.#events.ended(cause);
  }

  /** @returns whether somebody waits for it to open */
  #tell(cause: DriverError | null): boolean {
    const settle = this.#settle;
    this.#settle = null;
    settle?.(cause);
    return settle !== null;
  }
}

const threw = (cause: unknown): DriverError =>
  new DriverError('driver_threw', cause instanceof Error ? (cause.stack ?? cause.message) : String(cause), { cause });
