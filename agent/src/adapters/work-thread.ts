import { Worker } from 'node:worker_threads';
import { INSTALL_ERRORS, InstallError } from '../ports-firmware.ts';

/** What a thread is to do. */
export interface Order {
  readonly id: number;
  readonly name: string;
  readonly given: readonly unknown[];
}
/** What it says of it. */
export type Told =
  | { readonly id: number; readonly progress: number }
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly fault: { readonly code: string | null; readonly message: string } };
/** What it is started with. `stop` becomes 1 when the order that it is at shall end. */
export interface ThreadData {
  readonly directory: string;
  readonly stop: Int32Array;
}

export interface Waiting {
  readonly signal: AbortSignal;
  readonly progress: (bytes: number) => void;
}

interface Asked {
  readonly resolve: (value: unknown) => void;
  readonly reject: (cause: Error) => void;
  readonly progress: (bytes: number) => void;
}

/** A thread that has had nothing to do for so long goes, and its memory with it. */
const IDLE_MS = 30_000;
/** It holds an index of 100,000 entries; copying and hashing happen outside of its heap. */
const MEMORY = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 192 } as const;

/** Does the orders of a program in a thread, one after the other; the thread is there while it has something to do. */
export class WorkThread {
  readonly #program: URL;
  readonly #directory: string;
  readonly #lastOrder: string;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #asked = new Map<number, Asked>();
  #worker: Worker | null = null;
  #ids = 0;
  #idle: NodeJS.Timeout | undefined;

  /** @param lastOrder what a thread does before it goes */
  constructor(program: URL, directory: string, lastOrder: string) {
    this.#program = program;
    this.#directory = directory;
    this.#lastOrder = lastOrder;
  }

  /**
   * @returns what the program answers, in whatever form that has
   * @throws InstallError, or an error with the code that the program named
   */
  async ask(name: string, given: readonly unknown[], waiting?: Waiting): Promise<unknown> {
    const worker = (this.#worker ??= this.#start());
    clearTimeout(this.#idle);
    worker.ref();
    const stop = (): void => void Atomics.store(this.#stop, 0, 1);
    const id = (this.#ids += 1);
    try {
      if (waiting) Atomics.store(this.#stop, 0, 0);
      waiting?.signal.addEventListener('abort', stop, { once: true });
      return await new Promise<unknown>((resolve, reject) => {
        this.#asked.set(id, { resolve, reject, progress: waiting?.progress ?? (() => {}) });
        worker.postMessage({ id, name, given } satisfies Order, []);
      });
    } finally {
      waiting?.signal.removeEventListener('abort', stop);
      this.#asked.delete(id);
      if (this.#asked.size === 0) this.#rest();
    }
  }

  /** Ends it. What it is at ends early, what it has done already stays. */
  async close(): Promise<void> {
    Atomics.store(this.#stop, 0, 1);
    await this.#end(() => true);
  }

  #rest(): void {
    // It never keeps the agent from ending.
    this.#worker?.unref();
    this.#idle = setTimeout(() => void this.#end(() => this.#asked.size === 0), IDLE_MS).unref();
  }

  async #end(may: () => boolean): Promise<void> {
    if (this.#worker === null) return;
    await this.ask(this.#lastOrder, []).catch(() => {});
    const worker = this.#worker;
    if (worker === null || !may()) return;
    clearTimeout(this.#idle);
    this.#lose(worker, null);
    await worker.terminate();
  }

  #start(): Worker {
    const workerData = { directory: this.#directory, stop: this.#stop } satisfies ThreadData;
    const worker = new Worker(this.#program, { name: 'installer', workerData, resourceLimits: MEMORY });
    worker.on('message', (told: Told) => this.#hear(told));
    worker.on('error', (cause) => this.#lose(worker, cause));
    worker.on('exit', () => this.#lose(worker, null));
    return worker;
  }

  #hear(told: Told): void {
    const asked = this.#asked.get(told.id);
    if ('progress' in told) asked?.progress(told.progress);
    else if ('value' in told) asked?.resolve(told.value);
    else asked?.reject(errorOf(told.fault));
  }

  /** What it had to do is asked for again by whoever asked, as after any other failure. */
  #lose(worker: Worker, cause: unknown): void {
    if (this.#worker !== worker) return;
    this.#worker = null;
    for (const { reject } of this.#asked.values())
      reject(new InstallError('install_interrupted', cause instanceof Error ? cause.message : 'it ended', { cause }));
  }
}

const isInstallCode = (code: string): code is InstallError['code'] => Object.hasOwn(INSTALL_ERRORS, code);

function errorOf({ code, message }: { readonly code: string | null; readonly message: string }): Error {
  if (code === null) return new Error(message);
  if (!isInstallCode(code)) return Object.assign(new Error(message), { code });
  return new InstallError(code, message.replace(`${INSTALL_ERRORS[code]}: `, ''));
}
