import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** What became of a command in the guest. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Waiting {
  readonly resolve: (outcome: Outcome) => void;
  readonly reject: (error: Error) => void;
}

const decoded = (text = ''): string => Buffer.from(text, 'base64').toString();

/** Runs commands in the guest, several at once, over a virtual serial port of their own: see guest/serve.sh. */
export class Commands {
  readonly #port: Socket;
  readonly #waiting = new Map<string, Waiting>();
  #ready: (bootId: string) => void = () => {};
  #count = 0;

  constructor(port: Socket) {
    this.#port = port;
    port.on('error', () => port.destroy());
    const lines = createInterface({ input: port });
    // The machine was switched off in the middle of a word.
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const [first = '', second = '', stdout, stderr] = line.split(' ');
      if (first === 'ready') return this.#ready(second);
      this.#waiting.get(first)?.resolve({ code: Number(second), stdout: decoded(stdout), stderr: decoded(stderr) });
      this.#waiting.delete(first);
    });
  }

  /** @param listener called with the boot's id each time that the guest has come up */
  onReady(listener: (bootId: string) => void): void {
    this.#ready = listener;
  }

  /** @param script for bash */
  async run(script: string): Promise<Outcome> {
    const id = String(++this.#count);
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#port.write(`${id} ${Buffer.from(script).toString('base64')}\n`);
    });
  }

  /** Nobody will answer any more. */
  abandon(reason: string): void {
    for (const { reject } of this.#waiting.values()) reject(new Error(reason));
    this.#waiting.clear();
  }
}
