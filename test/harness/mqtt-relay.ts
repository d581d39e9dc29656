import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { parser } from 'mqtt-packet';

/** A message that passed, as it was seen between a client and its broker. */
export interface Passed {
  readonly clientId: string;
  readonly from: 'client' | 'broker';
  readonly topic: string;
  readonly payload: string;
}

export interface MqttRelay {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Stands between clients and a broker that may be killed and come back elsewhere: keeps one address, passes every
 * byte on as it is, and tells of every message. What it tells of was passed on, which says nothing about who read it.
 * @param target the broker's port now, or null while there is none
 */
export async function startMqttRelay(
  target: () => number | null,
  passed: (message: Passed) => void,
): Promise<MqttRelay> {
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (client) => {
    const port = target();
    if (port === null) return void client.destroy();
    const broker = connect({ port, host: '127.0.0.1', noDelay: true });
    tell(client, broker, passed);
    join(client, broker, sockets);
    join(broker, client, sockets);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}

/** What one side says goes to the other; when one is gone, so is the other. */
function join(socket: Socket, other: Socket, sockets: Set<Socket>): void {
  sockets.add(socket);
  socket.on('error', () => other.destroy());
  socket.on('close', () => {
    sockets.delete(socket);
    other.destroy();
  });
  socket.pipe(other);
}

function tell(client: Socket, broker: Socket, passed: (message: Passed) => void): void {
  let clientId = '';
  for (const [from, socket] of [
    ['client', client],
    ['broker', broker],
  ] as const) {
    const packets = parser({ protocolVersion: 4 });
    packets.on('packet', (packet) => {
      if (packet.cmd === 'connect') clientId = packet.clientId;
      if (packet.cmd === 'publish')
        passed({ clientId, from, topic: packet.topic, payload: packet.payload.toString('latin1') });
    });
    socket.on('data', (chunk: Buffer) => void packets.parse(chunk));
  }
}
