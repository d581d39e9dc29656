import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls } from 'node:tls';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RemoteBroker } from '@paddock/cloud/adapters/mqtt.ts';
import { readClientTls } from '@paddock/cloud/adapters/mqtt-tls.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { Inbound } from '@paddock/cloud/ports.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { devicePair, newAuthority, type DevicePair, type TlsPair } from '../../harness/authority.ts';
import { startTlsMosquitto, type TlsMosquitto } from '../../harness/mosquitto.ts';

const DAY_MS = 86_400_000;
const NOW = wallMs(Date.now());
const [ONE, TWO] = ['kiosk-0001', 'kiosk-0002'];

let authority: Authority;
let broker: TlsMosquitto;
let one: DevicePair;
let two: DevicePair;
beforeAll(async () => {
  authority = await newAuthority();
  broker = await startTlsMosquitto(authority, { instances: 2, connections: 3 });
  [one, two] = [await devicePair(authority, ONE), await devicePair(authority, TWO)];
});
afterAll(() => broker.stop());

const clients: MqttClient[] = [];
const services: RemoteBroker[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
  for (const service of services.splice(0)) await service.close();
});

async function client(pair: TlsPair | null, more: IClientOptions = {}): Promise<MqttClient> {
  const made = await connectAsync(broker.url, {
    ca: authority.certificatePem,
    ...(pair && { key: pair.key, cert: pair.cert }),
    clientId: 'whatever',
    protocolVersion: 4,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: 5_000,
    ...more,
  });
  made.on('error', () => undefined);
  clients.push(made);
  return made;
}

/** The service, as it connects to such a broker. */
async function service(instance = 0, connections = 1): Promise<{ remote: RemoteBroker; received: Inbound[] }> {
  const { cert = '', key = '' } = broker.instances[instance] ?? {};
  const tls = await readClientTls({ brokerCa: broker.ca, brokerCert: cert.split(','), brokerKey: key.split(',') });
  const remote = new RemoteBroker({
    url: broker.url,
    shareGroup: broker.shareGroup,
    clock: systemClock,
    connections,
    tls,
  });
  services.push(remote);
  const received: Inbound[] = [];
  let standing = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  await remote.open({
    message: async (inbound) => void received.push(inbound),
    foreign: () => undefined,
    oversized: () => undefined,
    refusedConnection: () => undefined,
    reachable: (is) => void (is && (standing += 1) === connections && resolve()),
  });
  await promise;
  return { remote, received };
}

const said = ({ received }: { received: Inbound[] }): string[] =>
  received.map(({ topic, payload }) => `${topic} ${Buffer.from(payload).toString()}`);

describe('Mosquitto with the generated settings for mutual TLS', () => {
  test('brings what devices send to the service, and its answers to them', async () => {
    const cloud = await service();
    const device = await client(one);
    const heard: string[] = [];
    device.on('message', (topic) => void heard.push(topic));
    await device.subscribeAsync(topicOf('answer', ONE), { qos: 1 });
    await device.publishAsync(topicOf('report', ONE), 'genuine', { qos: 1 });
    await expect.poll(() => said(cloud)).toEqual([`${topicOf('report', ONE)} genuine`]);
    await cloud.remote.publish(topicOf('answer', ONE), 'recorded');
    await expect.poll(() => heard).toEqual([topicOf('answer', ONE)]);
  });

  test('holds a device to the topics of its certificate: publish, retained, will, whatever it calls itself', async () => {
    const cloud = await service();
    const victim = await client(two);
    const heard: string[] = [];
    victim.on('message', (topic, payload) => void heard.push(`${topic} ${payload.toString()}`));
    await victim.subscribeAsync(topicOf('answer', TWO), { qos: 1 });
    const will = { topic: topicOf('report', TWO), payload: Buffer.from('forged'), qos: 1, retain: true } as const;
    const heir = await client(one, { clientId: TWO, username: TWO, will });
    for (const topic of [topicOf('report', TWO), topicOf('answer', TWO), topicOf('answer', ONE), '$SYS/broker/version'])
      await heir.publishAsync(topic, 'forged', { qos: 1, retain: true }).catch(() => undefined);
    heir.stream.destroy();
    await sleep(100);
    // The victim was not pushed off by who took its name for a client id.
    await victim.publishAsync(topicOf('report', TWO), 'genuine', { qos: 1 });
    await cloud.remote.publish(topicOf('answer', TWO), 'recorded');
    await expect.poll(() => heard).toEqual([`${topicOf('answer', TWO)} recorded`]);
    expect(said(cloud)).toEqual([`${topicOf('report', TWO)} genuine`]);
  });

  test('lets a device hear nothing of others: wildcards, shares, the system', async () => {
    const [cloud, spy] = [await service(), await client(one)];
    const heard: string[] = [];
    spy.on('message', (topic) => void heard.push(topic));
    for (const filter of ['#', 'paddock/#', '$SYS/#', 'paddock/v1/+/answer', topicOf('answer', TWO), '$share/x/#'])
      await spy.subscribeAsync(filter, { qos: 1 }).catch(() => undefined);
    await spy.subscribeAsync(topicOf('answer', ONE), { qos: 1 });
    await (await client(two)).publishAsync(topicOf('report', TWO), 'genuine', { qos: 1 });
    await cloud.remote.publish(topicOf('answer', TWO), 'recorded');
    await cloud.remote.publish(topicOf('answer', ONE), 'recorded');
    // Delivered once for each filter that matches it.
    await expect.poll(() => heard.length).toBeGreaterThan(0);
    expect(new Set(heard)).toEqual(new Set([topicOf('answer', ONE)]));
  });

  test('lets instances of the service be connected together', async () => {
    const [first, second] = [await service(0), await service(1)];
    const device = await client(one);
    for (let n = 0; n < 20; n++) await device.publishAsync(topicOf('report', ONE), `${n}`, { qos: 1 });
    await expect.poll(() => first.received.length + second.received.length).toBe(20);
    expect(Math.min(first.received.length, second.received.length)).toBeGreaterThan(0);
  });

  test('lets an instance have several connections, with a certificate each: none pushes another one off', async () => {
    const already = broker.log().split('already connected').length;
    const cloud = await service(0, 3);
    const device = await client(one);
    for (let n = 0; n < 30; n++) await device.publishAsync(topicOf('report', ONE), `${n}`, { qos: 1 });
    await expect.poll(() => cloud.received.length).toBe(30);
    // Longer than a connection that was pushed off takes to come again.
    await sleep(1_500);
    expect(broker.log().split('already connected').length).toBe(already);
    expect(new Set(broker.log().match(/u'paddock\.cloud-1(\.\d)?'/g))).toEqual(
      new Set(["u'paddock.cloud-1'", "u'paddock.cloud-1.2'", "u'paddock.cloud-1.3'"]),
    );
  });

  test.each([
    ['no certificate', async () => null],
    ['a certificate of another authority', async () => devicePair(await newAuthority(), ONE)],
    ['an expired one', () => devicePair(authority, ONE, wallMs(NOW - 31 * DAY_MS))],
  ])('refuses who comes with %s', async (_what, pair) => {
    await expect(client(await pair())).rejects.toThrow(/alert|closed|disconnected|reset|hang up/i);
  });

  test('refuses plain MQTT and TLS 1.1', async () => {
    const plain = connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
      clientId: ONE,
      reconnectPeriod: 0,
      connectTimeout: 3_000,
    });
    await expect(plain).rejects.toThrow();
    const old = { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT:@SECLEVEL=0' } as const;
    const socket = connectTls({ port: broker.port, host: '127.0.0.1', ca: authority.certificatePem, ...old });
    const failed = await new Promise<Error>((resolve) => socket.on('error', resolve));
    expect(failed.message).toMatch(/alert protocol version/);
  });

  test('refuses a certificate that was taken back, once it has read the list anew; others go on', async () => {
    const stolen = await devicePair(authority, 'kiosk-0666');
    await client(stolen);
    const now = wallMs(Date.now());
    const list = await authority.revocationList([{ serial: stolen.issued.serial, revokedAt: now }], now);
    await writeFile(broker.revokedFile, list);
    broker.reload();
    await expect
      .poll(
        () =>
          client(stolen).then(
            () => 'connected',
            () => 'refused',
          ),
        { timeout: 5_000 },
      )
      .toBe('refused');
    expect((await client(one)).connected).toBe(true);
  });

  test('the service believes no broker of another authority', async () => {
    const stranger = await newAuthority();
    await expect(client(one, { ca: stranger.certificatePem })).rejects.toThrow(/self.signed|unable to/i);
  });
});
