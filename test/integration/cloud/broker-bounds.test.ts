import { once } from 'node:events';
import { connect as connectPlain, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { Aedes } from 'aedes';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { EmbeddedBroker, type BrokerLimits } from '@paddock/cloud/adapters/aedes.ts';
import { CLIENT_LIMITS, handlers } from '@paddock/cloud/adapters/aedes/handlers.ts';
import type { TlsListenerOptions } from '@paddock/cloud/adapters/aedes/tls.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { BrokerClient, BrokerEvents } from '@paddock/cloud/ports.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair, newAuthority, serverPair, type TlsPair } from '../../harness/authority.ts';
import { RawClient } from '../../harness/raw-client.ts';

const DEVICE = 'kiosk-0001';
const OTHER = 'kiosk-0002';
/** PUBLISH, QoS 0, with a remaining length of 2,097,151: the largest that fits into three bytes. */
const BEGUN = Uint8Array.of(0x30, 0xff, 0xff, 0x7f);
/** CONNECT with the same length. */
const BEGUN_CONNECT = Uint8Array.of(0x10, 0xff, 0xff, 0x7f);

let authority: Authority;
let server: TlsPair;
let pairs: Readonly<Record<string, TlsPair>>;
beforeAll(async () => {
  authority = await newAuthority();
  server = await serverPair(authority);
  pairs = { [DEVICE]: await devicePair(authority, DEVICE), [OTHER]: await devicePair(authority, OTHER) };
});

let broker: EmbeddedBroker;
let received: number[];
let refused: [code: string, who: BrokerClient][];
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await broker.close();
});
const codes = (): string[] => refused.map(([code]) => code);

const events = (): BrokerEvents => ({
  message: async ({ payload }) => void received.push(payload.length),
  foreign: (who, topic, action) => refused.push([`${action} ${topic}`, who]),
  oversized: (who) => refused.push(['oversized', who]),
  refusedConnection: (...refusal) => refused.push(refusal),
  reachable: () => undefined,
});

async function start(limits: Partial<BrokerLimits> = {}, more: Partial<TlsListenerOptions> = {}): Promise<void> {
  [received, refused] = [[], []];
  const tls = { host: '127.0.0.1', port: 0, identity: server, authorityPem: authority.certificatePem, ...more };
  broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock, tls, limits });
  await broker.open(events());
}

function keep<Made extends Socket>(socket: Made): Made {
  socket.on('error', () => undefined);
  sockets.push(socket);
  return socket;
}
const plain = (): RawClient => new RawClient(keep(connectPlain(broker.port, '127.0.0.1')));
const silent = (): Socket => keep(connectPlain(broker.tlsPort, '127.0.0.1'));
function dial(deviceId: string): RawClient {
  const { key, cert } = pairs[deviceId] ?? server;
  const ca = authority.certificatePem;
  return new RawClient(keep(connect({ port: broker.tlsPort, host: '127.0.0.1', ca, key, cert })));
}
async function letIn(client: RawClient, deviceId: string): Promise<RawClient> {
  await client.hello(deviceId);
  expect(await client.next('connack')).toMatchObject({ returnCode: 0 });
  return client;
}
const report = (client: RawClient, deviceId: string, bytes: number): Promise<void> =>
  client.publish(topicOf('report', deviceId), Buffer.alloc(bytes, 'a'));

describe('large packets', () => {
  it('before anybody said who it is are not taken, and cost nobody else anything', { timeout: 30_000 }, async () => {
    await start();
    const many = Array.from({ length: 32 }, () => dial(DEVICE));
    for (const one of many) one.write(BEGUN_CONNECT);
    const innocent = await letIn(dial(OTHER), OTHER);
    await report(innocent, OTHER, 1_000_000);
    await innocent.next('puback');
    expect(received).toEqual([1_000_000]);
    await Promise.all(many.map(({ closed }) => closed));
    expect(refused).toHaveLength(32);
    expect(refused.every(([, { deviceId, address }]) => deviceId === DEVICE && address === '127.0.0.1')).toBe(true);
    expect(codes().every((code) => ['oversized', 'device_too_many'].includes(code))).toBe(true);
  });

  it('of one certificate that says nothing are few at once', { timeout: 30_000 }, async () => {
    await start();
    const many = Array.from({ length: 12 }, () => dial(DEVICE));
    await expect.poll(codes, { timeout: 10_000 }).toEqual(Array(4).fill('device_too_many'));
    await letIn(dial(OTHER), OTHER);
    for (const one of many) one.end();
    await sleep(100);
    await letIn(dial(DEVICE), DEVICE);
  });

  it('wait for room without being read, are closed by nobody, and come through in the end', async () => {
    await start();
    const idOf = (n: number): string => `kiosk-1${String(n).padStart(3, '0')}`;
    const slow = await Promise.all(Array.from({ length: 32 }, (_, n) => letIn(plain(), idOf(n))));
    for (const one of slow) one.write(BEGUN);
    await sleep(200);
    const innocent = await letIn(plain(), DEVICE);
    void report(innocent, DEVICE, 1_000_000);
    const small = await letIn(plain(), OTHER);
    await report(small, OTHER, 5_000);
    await small.next('puback');
    await sleep(300);
    expect([received, refused]).toEqual([[5_000], []]);
    slow[0]?.end();
    await innocent.next('puback');
    expect([received, refused]).toEqual([[5_000, 1_000_000], []]);
  });

  it('may come right behind a CONNECT that was not answered yet', async () => {
    await start();
    const hasty = plain();
    void hasty.hello(DEVICE);
    void report(hasty, DEVICE, 1_000_000);
    await hasty.next('puback');
    expect([received, refused]).toEqual([[1_000_000], []]);
  });
});

describe('who is slow', () => {
  it.each([
    ['of 2 MiB', BEGUN],
    ['of which nothing is known yet', BEGUN.subarray(0, 1)],
    ['that is small', Uint8Array.of(0x30, 20)],
  ])('is ended in the middle of a packet %s, whatever its keep-alive', async (_what, begun) => {
    await start({ packetMs: 300 });
    const slow = await letIn(dial(DEVICE), DEVICE);
    slow.write(begun);
    await slow.closed;
    expect(refused).toEqual([['packet_too_slow', { clientId: DEVICE, deviceId: DEVICE, address: '127.0.0.1' }]]);
  });

  it('is ended although it goes on, byte by byte', async () => {
    await start({ packetMs: 300 });
    const slow = await letIn(plain(), DEVICE);
    slow.write(BEGUN);
    const dribbling = setInterval(() => slow.write(Uint8Array.of(0)), 20);
    await slow.closed;
    clearInterval(dribbling);
    expect(codes()).toEqual(['packet_too_slow']);
  });

  it('between its packets stays', async () => {
    await start({ packetMs: 300 });
    const quiet = await letIn(plain(), DEVICE);
    await report(quiet, DEVICE, 100);
    await sleep(1_000);
    await report(quiet, DEVICE, 100);
    await expect.poll(() => received).toEqual([100, 100]);
    expect(refused).toEqual([]);
  });

  it('to say anything at all is ended, though it asked for no keep-alive', async () => {
    await start({ keepAliveS: 1 });
    const quiet = await plain().hello(DEVICE, { keepalive: 0 });
    await quiet.closed;
    // It went away, for all we know: that is no attack.
    expect(refused).toEqual([]);
  });

  it('to say who it is, is ended', async () => {
    await start({ connectMs: 200 });
    const nobody = dial(DEVICE);
    await nobody.closed;
    expect(refused).toEqual([['connect_timeout', { clientId: null, deviceId: DEVICE, address: '127.0.0.1' }]]);
  });

  it('to read is ended', { timeout: 30_000 }, async () => {
    await start({ drainMs: 300 });
    const socket = keep(connectPlain(broker.port, '127.0.0.1'));
    const deaf = await letIn(new RawClient(socket), DEVICE);
    await deaf.subscribe(topicOf('answer', DEVICE));
    await deaf.next('suback');
    socket.pause();
    // More than the kernel's buffers on both sides.
    for (let n = 0; n < 64; n += 1) void broker.publish(topicOf('answer', DEVICE), 'x'.repeat(1_000_000));
    await expect.poll(codes, { timeout: 20_000 }).toEqual(['reader_too_slow']);
    // Once, although many messages for it could not be written.
    await sleep(300);
    expect(codes()).toEqual(['reader_too_slow']);
  });
});

describe('connections', () => {
  it(
    'over TLS are no more than may be, and strangers in a handshake take no place of them',
    { timeout: 30_000 },
    async () => {
      await start({ connections: 1 }, { maxHandshakes: 3 });
      for (let n = 0; n < 5; n += 1) await once(silent(), 'connect');
      await expect.poll(codes).toEqual(['handshakes_too_many', 'handshakes_too_many']);
      const first = await letIn(dial(DEVICE), DEVICE);
      expect(codes().every((code) => code === 'handshakes_too_many')).toBe(true);
      refused.length = 0;
      await dial(OTHER).closed;
      expect(refused.at(-1)).toEqual([
        'connections_too_many',
        { clientId: null, deviceId: OTHER, address: '127.0.0.1' },
      ]);
      first.end();
      await first.closed;
      await sleep(50);
      await letIn(dial(OTHER), OTHER);
    },
  );

  it('that are dropped for their number are told, with their address', async () => {
    await start({ connections: 1 });
    await letIn(plain(), DEVICE);
    await plain().closed;
    expect(refused).toEqual([['connections_too_many', { clientId: null, deviceId: null, address: '127.0.0.1' }]]);
  });
});

describe('what breaks the rules', () => {
  it.each([
    ['a client id that is none', 'client_id_invalid', 'kiosk/+'],
    ['a client id of look-alikes', 'client_id_invalid', 'kіosk-0001'],
  ])('is told, with the address: %s', async (_what, code, clientId) => {
    await start();
    await (
      await plain().hello(clientId)
    ).closed;
    expect(refused).toEqual([[code, { clientId, deviceId: null, address: '127.0.0.1' }]]);
  });

  it('by bytes that are no MQTT', async () => {
    await start();
    const odd = plain();
    odd.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await odd.closed;
    expect(codes()).toEqual(['mqtt_invalid']);
  });

  it('by a length that is none', async () => {
    await start();
    const odd = await letIn(plain(), DEVICE);
    odd.write(Uint8Array.of(0x30, 255, 255, 255, 255));
    await odd.closed;
    expect(refused).toEqual([['mqtt_invalid', { clientId: DEVICE, deviceId: null, address: '127.0.0.1' }]]);
  });

  it.each(['paddock/v1/+/report', '#'])('by a wildcard in a PUBLISH: %s', async (topic) => {
    await start();
    const odd = await letIn(plain(), DEVICE);
    await odd.publish(topic, 'x');
    await odd.closed;
    expect(refused).toEqual([['publish null', { clientId: DEVICE, deviceId: null, address: '127.0.0.1' }]]);
  });
});

it('keeps nothing that a device wants retained, on its own topics either', async () => {
  [received, refused] = [[], []];
  await start();
  // The same rules, but for subscriptions: nobody could look otherwise.
  const admission = { admit: async () => null, gone: () => undefined };
  const visitorOf = () => ({ peer: null, address: null });
  const rules = handlers({ events: events(), clock: systemClock, admission, limits: CLIENT_LIMITS, visitorOf });
  const open = await Aedes.createBroker({
    ...rules,
    authorizeSubscribe: (_client, wanted, done) => done(null, wanted),
  });
  const listener = createServer((socket) => void open.handle(socket)).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const come = async (id: string): Promise<RawClient> =>
    letIn(new RawClient(keep(connectPlain(port, '127.0.0.1'))), id);
  const presence = topicOf('presence', DEVICE);
  const will = { topic: presence, payload: Buffer.from('gone'), qos: 1, retain: true } as const;
  const device = await new RawClient(keep(connectPlain(port, '127.0.0.1'))).hello(DEVICE, { will });
  await device.next('connack');
  await device.publish(presence, 'here', { retain: true });
  await device.next('puback');
  device.end();
  await once(open, 'clientDisconnect');
  await sleep(50);
  const late = await come(OTHER);
  await late.subscribe(presence);
  await late.next('suback');
  await sleep(100);
  expect(late.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([]);
  listener.close();
  await new Promise<void>((done) => open.close(done));
});
