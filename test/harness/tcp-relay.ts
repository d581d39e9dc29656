import { once } from 'node:events';
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';
import { Transform, type TransformCallback } from 'node:stream';

/** Where a server listens: a port of loopback, or the path of a socket. */
export type Target = number | string;

/** What the bytes of one connection go through on their way: one stream for what each end says. */
export interface Lanes {
  readonly fromClient: Transform;
  readonly fromServer: Transform;
}

/** A network between two parts that has troubles at the test's word. */
export interface TcpRelay {
  readonly port: number;
  /** Connections that stand, as their clients see it. */
  connections(): number;
  /** Breaks every connection with a reset; new ones are let through. @returns how many it broke */
  cut(): number;
  /** Half-open: connections are accepted, stand, and carry nothing any more, old ones and new ones. */
  stall(): void;
  /** Ends a stall: what was said meanwhile arrives, as it would after a network came back. */
  flow(): void;
  close(): Promise<void>;
}

/**
 * Passes TCP connections on to a server that may be killed and come back elsewhere: keeps one address.
 * @param target where the server is now, or null while there is none: connections are closed then
 * @param lanes made anew for each connection; `cut` breaks that connection
 */
export async function startTcpRelay(
  target: () => Target | null,
  lanes: (cut: () => void) => Lanes = () => ({ fromClient: passing(), fromServer: passing() }),
): Promise<TcpRelay> {
  const gate = new Gate();
  const clients = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    clients.add(client);
    client.on('close', () => clients.delete(client));
    client.on('error', () => client.destroy());
    gate.when(() => {
      const place = target();
      if (place === null) return void client.destroy();
      carry(client, connect(optionsOf(place)), lanes, gate);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No TCP address');
  const cut = (): number => {
    const standing = [...clients];
    for (const client of standing) client.resetAndDestroy();
    return standing.length;
  };
  return {
    port: address.port,
    connections: () => clients.size,
    cut,
    stall: () => gate.shut(),
    flow: () => gate.open(),
    async close() {
      server.close();
      cut();
      await once(server, 'close');
    },
  };
}

const optionsOf = (target: Target): NetConnectOpts =>
  typeof target === 'string' ? { path: target } : { port: target, host: '127.0.0.1', noDelay: true };

/** What one side says goes to the other; when one is gone, so is the other. */
function carry(client: Socket, server: Socket, lanes: (cut: () => void) => Lanes, gate: Gate): void {
  const { fromClient, fromServer } = lanes(() => {
    client.resetAndDestroy();
    server.destroy();
  });
  for (const [from, lane, to] of [
    [client, fromClient, server],
    [server, fromServer, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(gate.lane()).pipe(lane).pipe(to);
  }
  if (client.destroyed) server.destroy();
}

const passing = (): Transform => new Transform({ transform: (chunk, _encoding, done) => done(null, chunk) });

/** Holds back whatever comes to it while it is shut. */
class Gate {
  #isShut = false;
  #waiting: (() => void)[] = [];

  shut(): void {
    this.#isShut = true;
  }

  open(): void {
    this.#isShut = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  when(go: () => void): void {
    if (this.#isShut) this.#waiting.push(go);
    else go();
  }

  lane(): Transform {
    const transform = (chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void =>
      this.when(() => done(null, chunk));
    return new Transform({ transform });
  }
}
