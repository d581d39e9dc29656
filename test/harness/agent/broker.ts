import { once } from 'node:events';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { Aedes } from 'aedes';

/** A real broker in this process, which a test can stop, restart on its port, and look into. */
export class TestBroker {
  readonly aedes: Aedes;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  readonly #scheme: 'mqtt' | 'mqtts';

  private constructor(aedes: Aedes, tls: TlsOptions | null) {
    this.aedes = aedes;
    this.#scheme = tls ? 'mqtts' : 'mqtt';
    const handle = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      aedes.handle(socket);
    };
    this.#server = tls ? createTlsServer(tls, handle) : createServer(handle);
  }

  static async start(port = 0, tls: TlsOptions | null = null): Promise<TestBroker> {
    const broker = new TestBroker(await Aedes.createBroker(), tls);
    broker.#server.listen(port, '127.0.0.1');
    await once(broker.#server, 'listening');
    return broker;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Every message of clients from now on, in order; those of the broker itself are left out. */
  listen(): { topic: string; payload: string; retain: boolean }[] {
    const heard: { topic: string; payload: string; retain: boolean }[] = [];
    this.aedes.on('publish', ({ topic, payload, retain }) => {
      if (!topic.startsWith('$SYS')) heard.push({ topic, payload: payload.toString(), retain });
    });
    return heard;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.close();
    await new Promise<void>((resolve) => this.aedes.close(resolve));
  }
}
