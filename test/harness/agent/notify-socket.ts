import { setTimeout as sleep } from 'node:timers/promises';
import { addressOf } from '@paddock/agent/adapters/service-manager.ts';
import koffi from 'koffi';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;
const MOST_BYTES = 4096;

type Receive = (fd: number, into: Buffer, most: number, flags: number) => number;
type Close = (fd: number) => number;

/** What systemd listens on for what a service says of itself. */
export class NotifySocket {
  readonly #fd: number;
  readonly #recv: Receive;
  readonly #close: Close;
  /** Each datagram's lines. */
  readonly said: Record<string, string>[] = [];

  /** @param path a file's, or `@` and a name */
  constructor(path: string) {
    const libc = koffi.load(null);
    const socket = libc.func('int socket(int, int, int)');
    const bind = libc.func('int bind(int, _In_ void *, uint)');
    this.#recv = libc.func('long recv(int, _Out_ void *, size_t, int)') as Receive;
    this.#close = libc.func('int close(int)') as Close;
    this.#fd = Number(socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0));
    const address = addressOf(path);
    if (address === null || bind(this.#fd, address, address.length) !== 0) throw new Error(`cannot bind ${path}`);
  }

  /** Waits until something was said that has such a line. */
  async until(name: string, value?: string): Promise<Record<string, string>> {
    for (;;) {
      this.read();
      const found = this.said.find((lines) => (value === undefined ? name in lines : lines[name] === value));
      if (found !== undefined) return found;
      await sleep(20);
    }
  }

  /** Takes what has come. */
  read(): void {
    const into = Buffer.alloc(MOST_BYTES);
    for (let bytes = this.#take(into); bytes > 0; bytes = this.#take(into)) {
      const lines = into.toString('utf8', 0, bytes).split('\n');
      this.said.push(Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2))));
    }
  }

  #take(into: Buffer): number {
    return this.#recv(this.#fd, into, into.length, 0);
  }

  close(): void {
    this.#close(this.#fd);
  }
}
