import { constants, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectPlain } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedBroker, type EmbeddedBrokerOptions } from '@paddock/cloud/adapters/aedes.ts';
import type { TlsListenerOptions } from '@paddock/cloud/adapters/aedes/tls.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { Inbound } from '@paddock/cloud/ports.ts';
import { Addresses } from '@paddock/cloud/trust/addresses.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair, newAuthority, serverPair, type TlsPair } from '../../harness/authority.ts';
import { newKey, openssl } from '../../harness/openssl.ts';
import { RawClient } from '../../harness/raw-client.ts';

const DEVICE = 'kiosk-0001';
const DAY_MS = 86_400_000;
const NOW = wallMs(Date.now());

let authority: Authority;
let stranger: Authority;
let server: TlsPair;
let device: TlsPair;
beforeAll(async () => {
  [authority, stranger] = [await newAuthority(), await newAuthority()];
  server = await serverPair(authority);
  device = await devicePair(authority, DEVICE);
});

describe('the embedded broker over mutual TLS', () => {
  let broker: EmbeddedBroker;
  let received: Inbound[];
  let foreign: string[];
  let refused: [code: string, deviceId: string | null, address: string | null][];
  const sockets: { destroy(): void }[] = [];

  beforeEach(() => {
    [received, foreign, refused] = [[], [], []];
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    await broker.close();
  });

  async function start(
    tls: Partial<TlsListenerOptions> = {},
    more: Partial<EmbeddedBrokerOptions> = {},
  ): Promise<void> {
    const listener = { host: '127.0.0.1', port: 0, identity: server, authorityPem: authority.certificatePem };
    broker = new EmbeddedBroker({
      host: '127.0.0.1',
      port: 0,
      clock: systemClock,
      tls: { ...listener, ...tls },
      ...more,
    });
    await broker.open({
      message: async (inbound) => void received.push(inbound),
      foreign: (_client, topic, action) => foreign.push(`${action} ${topic}`),
      oversized: () => undefined,
      refusedConnection: (code, { deviceId, address }) => refused.push([code, deviceId, address]),
      reachable: () => undefined,
    });
  }

  function dial(pair: TlsPair | null, options: ConnectionOptions = {}): TLSSocket {
    const socket = connect({
      port: broker.tlsPort,
      host: '127.0.0.1',
      ca: authority.certificatePem,
      ...(pair && { key: pair.key, cert: pair.cert }),
      ...options,
    });
    // How it ends is what tests look at.
    socket.on('error', () => undefined);
    sockets.push(socket);
    return socket;
  }
  const client = (pair: TlsPair | null, options?: ConnectionOptions): RawClient => new RawClient(dial(pair, options));
  const connected = async (pair = device, id = DEVICE): Promise<RawClient> => {
    const made = await client(pair).hello(id);
    expect(await made.next('connack')).toMatchObject({ returnCode: 0 });
    return made;
  };

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('lets a device in that its certificate proves: %s', async (version) => {
    await start();
    const socket = dial(device, { minVersion: version, maxVersion: version });
    const made = await new RawClient(socket).hello(DEVICE);
    expect(await made.next('connack')).toMatchObject({ returnCode: 0 });
    await made.publish(topicOf('report', DEVICE), 'genuine');
    await made.next('puback');
    expect([socket.authorized, socket.getProtocol()]).toEqual([true, version]);
    expect(received.map(({ topic }) => topic)).toEqual([topicOf('report', DEVICE)]);
    expect(refused).toEqual([]);
  });

  it('takes Ed25519 keys of devices too', async () => {
    await start();
    const made = await client(await devicePair(authority, DEVICE, NOW, 'ed25519')).hello(DEVICE);
    expect(await made.next('connack')).toMatchObject({ returnCode: 0 });
  });

  const untrusted: readonly (readonly [code: string, what: string, pair: () => Promise<TlsPair | null>])[] = [
    ['certificate_missing', 'no certificate', async () => null],
    ['certificate_untrusted', 'one of another authority', () => devicePair(stranger, DEVICE)],
    ['certificate_untrusted', 'one that it signed itself', async () => selfSigned()],
    ['certificate_expired', 'an expired one', () => devicePair(authority, DEVICE, wallMs(NOW - 31 * DAY_MS))],
    ['certificate_not_yet_valid', 'one for later', () => devicePair(authority, DEVICE, wallMs(NOW + DAY_MS))],
    ['certificate_unfit', 'one for servers', async () => server],
    ['certificate_unfit', 'one of the service itself', () => servicePair()],
  ];
  it.each(untrusted)('refuses as %s who shows %s', async (code, _what, pair) => {
    await start();
    const made = await client(await pair()).hello(DEVICE);
    await made.closed;
    expect(refused).toEqual([[code, null, '127.0.0.1']]);
    expect(made.packets).toEqual([]);
  });

  async function servicePair(): Promise<TlsPair> {
    const key = newKey();
    const spki = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });
    const { chain } = await authority.issueService({ name: 'paddock.cloud', spki, now: NOW });
    return { key, cert: new X509Certificate(chain[0] ?? '').toString() };
  }

  function selfSigned(): TlsPair {
    const key = newKey();
    const more = `-addext subjectAltName=URI:urn:paddock:device:${DEVICE} -addext extendedKeyUsage=clientAuth`;
    return { key, cert: openssl(`req -x509 -new -key k -subj /CN=${DEVICE} ${more}`, { k: key }) };
  }

  it('refuses a client id that is not the device of the certificate, and does not touch that device', async () => {
    await start();
    const victim = await connected(await devicePair(authority, 'kiosk-0002'), 'kiosk-0002');
    const thief = await client(device).hello('kiosk-0002');
    await thief.closed;
    expect(thief.packets).toEqual([]);
    expect(refused).toEqual([['client_id_mismatch', DEVICE, '127.0.0.1']]);
    await victim.publish(topicOf('report', 'kiosk-0002'), 'still here');
    await victim.next('puback');
  });

  it.each(['TLSv1', 'TLSv1.1'] as const)('refuses %s', async (version) => {
    await start();
    // The client's own library would refuse first, without the lower level of security.
    const socket = dial(device, { minVersion: version, maxVersion: version, ciphers: 'DEFAULT:@SECLEVEL=0' });
    await new Promise((closed) => socket.on('close', closed));
    await expect.poll(() => refused).toEqual([['tls_failed', null, '127.0.0.1']]);
  });

  it('refuses plain MQTT on the port for TLS', async () => {
    await start();
    const plain = new RawClient(connectPlain(broker.tlsPort, '127.0.0.1'));
    await plain.hello(DEVICE);
    await plain.closed;
    expect(plain.packets).toEqual([]);
    await expect.poll(() => refused).toEqual([['tls_failed', null, '127.0.0.1']]);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'resumes no session: each shows its certificate anew: %s',
    async (version) => {
      await start();
      const only = { minVersion: version, maxVersion: version } as const;
      const first = dial(device, only);
      let session = first.getSession();
      first.on('session', (ticket) => (session = ticket));
      await (await new RawClient(first).hello(DEVICE)).next('connack');
      session ??= first.getSession();
      first.destroy();
      const second = dial(device, { ...only, ...(session && { session }) });
      await (await new RawClient(second).hello(DEVICE)).next('connack');
      expect(session).toBeInstanceOf(Buffer);
      expect(second.isSessionReused()).toBe(false);
    },
  );

  it('does not renegotiate', async () => {
    await start();
    const socket = dial(device, { maxVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_LEGACY_SERVER_CONNECT });
    await once(socket, 'secureConnect');
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    socket.on('error', resolve);
    socket.on('close', () => resolve(new Error('closed')));
    socket.renegotiate({ rejectUnauthorized: true }, resolve);
    expect(await promise).toBeInstanceOf(Error);
  });

  it('holds a device to its own topics: publish, subscribe, wildcards, shares, the system, its will', async () => {
    await start();
    const other = 'kiosk-0002';
    const listener = await connected();
    const filters = [
      '#',
      '$SYS/#',
      `$share/g/${topicOf('answer', DEVICE)}`,
      'paddock/v1/+/answer',
      topicOf('answer', other),
    ];
    await listener.subscribe(topicOf('answer', DEVICE), ...filters);
    expect(await listener.next('suback')).toMatchObject({ granted: [1, 128, 128, 128, 128, 128] });
    expect(foreign).toEqual(filters.map((filter) => `subscribe ${filter}`));
    for (const topic of [topicOf('report', other), topicOf('desired', DEVICE), '$SYS/broker', '$share/g/paddock']) {
      const thief = await connected();
      await thief.publish(topic, 'forged', { retain: true });
      await thief.closed;
      expect(foreign.at(-1)).toBe(`publish ${topic}`);
    }
    const topic = topicOf('answer', other);
    const heir = await client(device).hello(DEVICE, {
      will: { topic, payload: Buffer.from('forged'), qos: 1, retain: true },
    });
    await heir.closed;
    expect(foreign.at(-1)).toBe(`leaveWill ${topic}`);
    expect(received).toEqual([]);
  });

  it('gives the place of a device to its newer connection', async () => {
    await start();
    const first = await connected();
    const second = await connected();
    await first.closed;
    await second.publish(topicOf('report', DEVICE), 'here');
    await second.next('puback');
    expect(refused).toEqual([]);
  });

  it('ends a handshake that takes too long', async () => {
    await start({ handshakeTimeoutMs: 200 });
    const silent = connectPlain(broker.tlsPort, '127.0.0.1');
    sockets.push(silent);
    await once(silent, 'close');
    expect(refused).toEqual([['tls_timeout', null, '127.0.0.1']]);
  });

  it('bounds the connections of one address, and takes some again when others are gone', async () => {
    await start({ addresses: new Addresses({ connections: 2, handshakesPerSecond: 100 }, systemClock) });
    const [first] = [await connected(), await connected(await devicePair(authority, 'kiosk-0002'), 'kiosk-0002')];
    await (
      await client(device).hello(DEVICE)
    ).closed;
    expect(refused).toEqual([['address_too_many', null, '127.0.0.1']]);
    first.end();
    await first.closed;
    await sleep(50);
    await connected();
  });

  it('bounds how fast one address begins connections', async () => {
    await start({ addresses: new Addresses({ connections: 100, handshakesPerSecond: 1 }, systemClock) });
    const flood = Array.from({ length: 20 }, () => connectPlain(broker.tlsPort, '127.0.0.1'));
    sockets.push(...flood);
    await expect.poll(() => refused.length).toBeGreaterThanOrEqual(14);
    expect(new Set(refused.map(([code]) => code))).toEqual(new Set(['address_too_fast']));
    await sleep(1_500);
    for (const socket of flood) socket.destroy();
    await connected();
  });

  it('shows a renewed certificate to newcomers, and closes nobody for it', async () => {
    await start();
    const before = dial(device);
    const made = await new RawClient(before).hello(DEVICE);
    await made.next('connack');
    const renewed = await serverPair(authority);
    broker.renew(renewed);
    const after = dial(await devicePair(authority, 'kiosk-0002'));
    await once(after, 'secureConnect');
    const [old, fresh] = [before, after].map((socket) => socket.getPeerX509Certificate()?.serialNumber);
    expect(fresh).not.toBe(old);
    await made.publish(topicOf('report', DEVICE), 'still here');
    await made.next('puback');
    // And it goes on asking for certificates.
    await (
      await client(null).hello(DEVICE)
    ).closed;
    expect(refused).toEqual([['certificate_missing', null, '127.0.0.1']]);
  });

  it('takes no plain MQTT when it is told so', async () => {
    await start({}, { port: null });
    await connected();
    expect(broker.port).toBe(0);
  });

  it('closes at once although handshakes are under way', async () => {
    await start();
    const silent = connectPlain(broker.tlsPort, '127.0.0.1');
    const closed = once(silent, 'close');
    await once(silent, 'connect');
    await sleep(50);
    await broker.close();
    await expect(closed).resolves.toBeDefined();
  });
});
