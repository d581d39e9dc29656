import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import type { PtyMaster } from '../pty.ts';

/**
 * The far end of something that a machine is wired to: QEMU connects to it whenever the machine is switched on, so
 * what is at this end outlives it. Where it is a serial line, it is used as the far end of a pseudo-terminal is.
 */
export class FarEnd implements PtyMaster {
  readonly path: string;
  readonly #server: Server;
  readonly #listeners: ((chunk: Uint8Array) => void)[] = [];
  #socket: Socket | null = null;

  private constructor(path: string, server: Server) {
    this.path = path;
    this.#server = server;
    server.on('connection', (socket) => this.#take(socket));
  }

  static async listen(path: string): Promise<FarEnd> {
    const server = createServer().listen(path);
    await once(server, 'listening');
    return new FarEnd(path, server);
  }

  /** The next connection, for a protocol that begins anew with each machine. */
  async connected(): Promise<Socket> {
    return new Promise((resolve) => this.#server.once('connection', resolve));
  }

  onData(listener: (chunk: Uint8Array) => void): void {
    this.#listeners.push(listener);
  }

  /** While the machine is off nobody hears it. */
  readonly write = async (bytes: Uint8Array | string): Promise<void> => {
    const socket = this.#socket;
    if (socket === null) return;
    await new Promise<void>((resolve) => socket.write(bytes, () => resolve()));
  };

  readonly waiting = (): number => this.#socket?.writableLength ?? 0;

  readonly close = (): void => {
    this.#socket?.destroy();
    this.#server.close();
  };

  #take(socket: Socket): void {
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: Uint8Array) => {
      for (const listener of this.#listeners) listener(chunk);
    });
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = null;
    });
  }
}
