import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect as connectPlain } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { MAX_ENVELOPE_BYTES } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair, newAuthority, type DevicePair, type TlsPair } from '../../harness/authority.ts';
import { startTlsMosquitto, type TlsMosquitto } from '../../harness/mosquitto.ts';
import { RawClient } from '../../harness/raw-client.ts';

const DAY_MS = 86_400_000;
const [ONE, TWO] = ['kiosk-0001', 'kiosk-0002'];

let authority: Authority;
let broker: TlsMosquitto;
let one: DevicePair;
beforeAll(async () => {
  authority = await newAuthority();
  broker = await startTlsMosquitto(authority);
  one = await devicePair(authority, ONE);
});
afterAll(() => broker.stop());

const clients: RawClient[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.end();
});

function open(pair: TlsPair | null, more: ConnectionOptions = {}, port = broker.port): TLSSocket {
  const shown = pair === null ? {} : { key: pair.key, cert: pair.cert };
  const socket = connectTls({ port, host: 'localhost', ca: authority.certificatePem, ...shown, ...more });
  socket.on('error', () => undefined);
  return socket;
}

function speak(socket: RawClient | TLSSocket): RawClient {
  const client = socket instanceof RawClient ? socket : new RawClient(socket);
  clients.push(client);
  return client;
}

/** A device of that certificate, connected. */
async function device(pair: TlsPair = one, port = broker.port): Promise<RawClient> {
  const client = speak(open(pair, {}, port));
  await client.hello('whatever');
  await client.next('connack');
  return client;
}

/** Somebody who gets no further than the handshake. */
const knock = async (pair: TlsPair | null, more: ConnectionOptions = {}): Promise<void> => {
  const client = speak(open(pair, more));
  await client.hello(ONE).catch(() => undefined);
  await client.closed;
};

/** What a client keeps in order to go on with its session of TLS later. */
async function ticketsOf(pair: TlsPair, maxVersion: 'TLSv1.2' | 'TLSv1.3'): Promise<Buffer[]> {
  const tickets: Buffer[] = [];
  const socket = open(pair, { maxVersion });
  socket.on('session', (ticket) => tickets.push(ticket));
  const client = speak(socket);
  await client.hello('x');
  await client.next('connack');
  client.end();
  await client.closed;
  return tickets;
}

/** Whether the broker takes it, as MQTT understands it. */
async function comesIn(pair: TlsPair, more: ConnectionOptions): Promise<boolean> {
  const client = speak(open(pair, more));
  void client.hello('x');
  const taken = await Promise.race([client.next('connack').then(() => true), client.closed.then(() => false)]);
  client.end();
  return taken;
}

const foreign = topicOf('report', TWO);
const denied = (topic: string, retained = 0) =>
  new RegExp(`Denied PUBLISH from ${ONE} \\(d0, q1, r${retained}, m\\d+, '${topic.replaceAll(/[$+#]/g, '\\$&')}'`);

describe('what Mosquitto refuses with the generated settings is in its log', () => {
  const refusals: readonly [what: string, line: RegExp, attack: () => Promise<unknown>][] = [
    ['a message of another device', denied(foreign), async () => (await device()).publish(foreign, 'x')],
    ['a retained one', denied(foreign, 1), async () => (await device()).publish(foreign, 'x', { retain: true })],
    [
      'a message to itself in the service’s place',
      denied(topicOf('answer', ONE)),
      async () => (await device()).publish(topicOf('answer', ONE), 'x'),
    ],
    ['a message of the system', denied('$SYS/x'), async () => (await device()).publish('$SYS/x', 'x')],
    [
      'a message that names another device by its topic and pretends to be routine',
      denied('Received PUBLISH from kiosk'),
      async () => (await device()).publish('Received PUBLISH from kiosk', 'x'),
    ],
    [
      'a topic with a wildcard',
      /Client kiosk-0001 disconnected due to protocol error/,
      async () => (await device()).publish('paddock/v1/+/report', 'x'),
    ],
    [
      'a message larger than any envelope',
      /Client kiosk-0001 disconnected due to oversize packet/,
      async () => (await device()).publish(topicOf('report', ONE), Buffer.alloc(MAX_ENVELOPE_BYTES + 200)),
    ],
    [
      'QoS 2',
      /client kiosk-0001: Requested QoS not supported/,
      async () => (await device()).publish(topicOf('report', ONE), 'x', { qos: 2 }),
    ],
    ['no certificate', /peer did not return a certificate/, () => knock(null)],
    [
      'a certificate of another authority',
      /certificate verify failed/,
      async () => knock(await devicePair(await newAuthority(), ONE)),
    ],
    [
      'an expired one',
      /certificate verify failed/,
      async () => knock(await devicePair(authority, ONE, wallMs(Date.now() - 31 * DAY_MS))),
    ],
    [
      'TLS 1.1',
      /unsupported protocol/,
      () => knock(one, { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' }),
    ],
    [
      'plain MQTT',
      /wrong version number/,
      async () => {
        const client = speak(new RawClient(connectPlain(broker.port, '127.0.0.1')));
        await client.hello(ONE);
        await client.closed;
      },
    ],
    [
      'a client id that is taken: it is not the device’s own to choose',
      /Client kiosk-0001 already connected, closing old connection/,
      async () => {
        const genuine = await device();
        await (await device()).subscribe(topicOf('answer', ONE));
        await genuine.closed;
      },
    ],
  ];
  test.each(refusals)('%s', async (_what, line, attack) => {
    const before = broker.log().length;
    await attack();
    await expect.poll(() => broker.log().slice(before)).toMatch(line);
    // And where it came from.
    expect(broker.log().slice(before)).toMatch(/(New|Client) connection from 127\.0\.0\.1/);
  });

  test('but not what it grants and delivers nothing of: foreign subscriptions and wills show as what was asked for', async () => {
    const before = broker.log().length;
    const spy = speak(open(one));
    await spy.hello('x', { will: { topic: foreign, payload: Buffer.from('x'), qos: 1, retain: true } });
    await spy.next('connack');
    await spy.subscribe('#', '$SYS/#', topicOf('answer', TWO));
    expect(await spy.next('suback')).toMatchObject({ granted: [1, 1, 1] });
    spy.end();
    await spy.closed;
    await expect.poll(() => broker.log().slice(before)).toMatch(/closed its connection/);
    const said = broker.log().slice(before);
    for (const asked of [foreign, '#', '$SYS/#', topicOf('answer', TWO)]) expect(said).toContain(`\t${asked}`);
    expect(said).not.toMatch(/Denied/);
  });

  test('and routine is not: a line for each message would drown it', async () => {
    const before = broker.log().length;
    const client = await device();
    await client.publish(topicOf('report', ONE), 'genuine');
    await client.next('puback');
    await client.send({ cmd: 'pingreq' });
    await client.next('pingresp');
    await client.publish(foreign, 'x');
    await expect.poll(() => broker.log().slice(before)).toMatch(denied(foreign));
    expect(broker.log().slice(before)).not.toMatch(/\d: (Received|Sending) (PUBLISH|PUBACK|PINGREQ|PINGRESP) /);
  });
});

describe('Mosquitto with the generated settings', () => {
  // OpenSSL does not look at the certificate of a session that goes on: the broker forgets all of them with SIGHUP.
  test.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'lets nobody past the list with a session of before, over %s',
    async (maxVersion) => {
      const stolen = await devicePair(authority, 'kiosk-0666');
      const [session] = await ticketsOf(stolen, maxVersion);
      const again = open(stolen, { maxVersion, session });
      await once(again, 'secureConnect');
      expect(again.isSessionReused()).toBe(true);
      again.destroy();
      const [newest = session] = await ticketsOf(stolen, maxVersion);
      const now = wallMs(Date.now());
      const list = await authority.revocationList([{ serial: stolen.issued.serial, revokedAt: now }], now);
      await writeFile(broker.revokedFile, list);
      broker.reload();
      await expect.poll(() => comesIn(stolen, { maxVersion })).toBe(false);
      for (const kept of [session, newest]) expect(await comesIn(stolen, { maxVersion, session: kept })).toBe(false);
      expect(await comesIn(one, { maxVersion })).toBe(true);
    },
  );

  test('has no more connections than the settings say', async () => {
    const small = await startTlsMosquitto(authority, { instead: { max_connections: '3' } });
    try {
      const pairs = await Promise.all([1, 2, 3, 4].map((n) => devicePair(authority, `kiosk-100${n}`)));
      for (const pair of pairs.slice(0, 3)) await device(pair, small.port);
      await expect(device(pairs[3], small.port)).rejects.toThrow('Closed before connack, after 0 packets');
      await expect.poll(() => small.log()).toMatch(/max_connections exceeded/);
    } finally {
      await small.stop();
    }
  });

  test('which forgets one for each that ends amid its handshake: then the file descriptors of its unit bound them', async () => {
    const [files, soon] = [24, { interval: 5, timeout: 15_000 }];
    const small = await startTlsMosquitto(authority, { instead: { max_connections: '3' }, files });
    try {
      for (let ended = 0; ended < files; ended++) {
        const before = small.log().length;
        const half = connectPlain(small.port, '127.0.0.1');
        await expect.poll(() => small.log().slice(before), soon).toMatch(/New connection/);
        half.destroy();
        await expect.poll(() => small.log().slice(before), soon).toMatch(/disconnected: Protocol error/);
      }
      const come = Array.from({ length: files }, async (_, n) =>
        device(await devicePair(authority, `kiosk-20${n}`), small.port),
      );
      const came = (await Promise.allSettled(come)).filter(({ status }) => status === 'fulfilled').length;
      expect(came).toBeGreaterThan(3);
      expect(came).toBeLessThan(files);
      // Without a descriptor it cannot even read whom the machine lets in (hosts_access(5)).
      await expect.poll(() => small.log()).toMatch(/socket count has been exceeded|denied access by tcpd/);
    } finally {
      await small.stop();
    }
  });
});
