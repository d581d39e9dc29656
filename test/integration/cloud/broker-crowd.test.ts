import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, parser, type Packet } from 'mqtt-packet';
import { afterEach, expect, it } from 'vitest';
import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { topicOf } from '@paddock/shared/topics.ts';

const DEVICES = 250;
const REPORTS = 40;
/** More than the broker hands on at once. */
const ANSWERS = 200;

let broker: EmbeddedBroker;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await broker.close();
});

const idOf = (n: number): string => `kiosk-${String(n).padStart(4, '0')}`;

/** @returns what it hears, by kind of packet */
async function join(n: number): Promise<{ socket: Socket; heard: Map<Packet['cmd'], number> }> {
  const socket = connect({ port: broker.port, host: '127.0.0.1', noDelay: true });
  sockets.push(socket);
  const heard = new Map<Packet['cmd'], number>();
  const incoming = parser();
  incoming.on('packet', ({ cmd }) => void heard.set(cmd, (heard.get(cmd) ?? 0) + 1));
  socket.on('data', (chunk: Buffer) => void incoming.parse(chunk));
  await once(socket, 'connect');
  const who = { protocolId: 'MQTT', protocolVersion: 4, clean: true, clientId: idOf(n), keepalive: 0 } as const;
  socket.write(generate({ cmd: 'connect', ...who }));
  socket.write(
    generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: topicOf('answer', idOf(n)), qos: 1 }] }),
  );
  while (!heard.has('suback')) await sleep(2);
  return { socket, heard };
}

it(
  'lets go of thousands of held reports at once while it hands on answers, and lives',
  { timeout: 60_000 },
  async () => {
    const held: (() => void)[] = [];
    broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock });
    await broker.open({
      message: () => new Promise<void>((resolve) => held.push(resolve)),
      foreign: () => undefined,
      oversized: () => undefined,
      refusedConnection: () => undefined,
      reachable: () => undefined,
    });
    const devices = await Promise.all(Array.from({ length: DEVICES }, (_, n) => join(n)));
    for (const [n, { socket }] of devices.entries()) {
      const report = (messageId: number): Packet => ({
        cmd: 'publish',
        topic: topicOf('report', idOf(n)),
        payload: 'a report',
        qos: 1,
        messageId,
        dup: false,
        retain: false,
      });
      socket.write(Buffer.concat(Array.from({ length: REPORTS }, (_, at) => generate(report(at + 1)))));
    }
    while (held.length < DEVICES * REPORTS) await sleep(10);
    const answers = devices.slice(0, ANSWERS).map((_, n) => broker.publish(topicOf('answer', idOf(n)), 'an answer'));
    for (const letGo of held) letGo();
    await Promise.all(answers);
    const all = (cmd: Packet['cmd']): number => devices.reduce((sum, { heard }) => sum + (heard.get(cmd) ?? 0), 0);
    while (all('puback') < DEVICES * REPORTS || all('publish') < ANSWERS) await sleep(10);
    expect([all('puback'), all('publish')]).toEqual([DEVICES * REPORTS, ANSWERS]);
  },
);
