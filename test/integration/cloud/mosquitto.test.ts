import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { connectAsync, type MqttClient } from 'mqtt';
import mqttPacket from 'mqtt-packet';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { MAX_INFLIGHT } from '@paddock/cloud/brokers/mosquitto.ts';
import { MAX_ENVELOPE_BYTES } from '@paddock/shared/envelope.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { startMosquitto, type Mosquitto } from '../../harness/mosquitto.ts';

let broker: Mosquitto;
const clients: MqttClient[] = [];
beforeAll(async () => {
  broker = await startMosquitto({ guarded: true });
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
});
afterAll(() => broker.stop());

interface Heard {
  readonly client: MqttClient;
  readonly heard: string[];
}

async function client(clientId: string, url = broker.url): Promise<Heard> {
  const made = await connectAsync(url, { clientId, protocolVersion: 4, clean: true, reconnectPeriod: 0 });
  clients.push(made);
  const heard: string[] = [];
  made.on('message', (topic, payload) => void heard.push(`${topic} ${payload.toString().slice(0, 40)}`));
  return { client: made, heard };
}

async function cloud(): Promise<Heard> {
  const made = await client('paddock-cloud-test', broker.cloudUrl);
  const [granted] = await made.client.subscribeAsync('$share/paddock/paddock/v1/+/report', { qos: 1 });
  expect(granted?.qos).toBe(1);
  return made;
}

/** Whatever came before it has come by then. */
async function settled({ client: from }: Heard, at: Heard, topic: string): Promise<void> {
  await from.publishAsync(topic, 'that is all', { qos: 1 });
  await expect.poll(() => at.heard.at(-1)).toBe(`${topic} that is all`);
}

/** A subscriber that takes everything in and acknowledges nothing until told to: mqtt.js takes one message at a time. */
async function unacknowledging({ port, cloudUrl }: Mosquitto, filter: string) {
  const socket = connect(port, '127.0.0.1');
  const { username, password } = new URL(cloudUrl);
  const parser = mqttPacket.parser();
  const unacknowledged: number[] = [];
  let received = 0;
  const granted = Promise.withResolvers<void>();
  parser.on('packet', (packet) => {
    if (packet.cmd === 'suback') granted.resolve();
    if (packet.cmd !== 'publish' || packet.messageId === undefined) return;
    received += 1;
    unacknowledged.push(packet.messageId);
  });
  socket.on('data', (data) => void parser.parse(data));
  const login = { username, password: Buffer.from(password), clientId: 'paddock-cloud-silent', clean: true };
  const hello = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, keepalive: 0, ...login } as const;
  socket.write(mqttPacket.generate(hello));
  socket.write(mqttPacket.generate({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: filter, qos: 1 }] }));
  await granted.promise;
  return {
    received: () => received,
    acknowledgeAll: () =>
      unacknowledged.splice(0).forEach((messageId) => socket.write(mqttPacket.generate({ cmd: 'puback', messageId }))),
    end: () => socket.destroy(),
  };
}

describe('Mosquitto with the generated settings', () => {
  test('brings what devices send to the service, and its answers to them', async () => {
    const [device, service] = [await client('kiosk-0001'), await cloud()];
    await device.client.subscribeAsync(topicOf('answer', 'kiosk-0001'), { qos: 1 });
    await settled(device, service, topicOf('report', 'kiosk-0001'));
    await settled(service, device, topicOf('answer', 'kiosk-0001'));
    expect([service.heard.length, device.heard.length]).toEqual([1, 1]);
  });

  test('holds a device to its own topics', async () => {
    const [device, other, service] = [await client('kiosk-0001'), await client('kiosk-0002'), await cloud()];
    await other.client.subscribeAsync(topicOf('answer', 'kiosk-0002'), { qos: 1 });
    await device.client.publishAsync(topicOf('report', 'kiosk-0002'), 'forged', { qos: 1 });
    await device.client.publishAsync(topicOf('answer', 'kiosk-0002'), 'forged', { qos: 1 });
    await device.client.publishAsync(topicOf('answer', 'kiosk-0001'), 'to itself', { qos: 1 });
    await settled(device, service, topicOf('report', 'kiosk-0001'));
    await settled(service, other, topicOf('answer', 'kiosk-0002'));
    expect(service.heard).toEqual([`${topicOf('report', 'kiosk-0001')} that is all`]);
    expect(other.heard).toEqual([`${topicOf('answer', 'kiosk-0002')} that is all`]);
  });

  test('lets a device hear nobody else’s answers, whatever it subscribes to or calls itself', async () => {
    const service = await cloud();
    const spies = await Promise.all(['kiosk-0001', '+', '#', '+/answer'].map((id) => client(id)));
    for (const spy of spies)
      for (const filter of ['paddock/v1/+/answer', 'paddock/v1/kiosk-0009/answer', '#', 'paddock/#', '$share/x/#'])
        await spy.client.subscribeAsync(filter, { qos: 1 }).catch(() => undefined);
    const device = await client('kiosk-0009');
    await device.client.subscribeAsync(topicOf('answer', 'kiosk-0009'), { qos: 1 });
    await settled(service, device, topicOf('answer', 'kiosk-0009'));
    await settled(service, device, topicOf('answer', 'kiosk-0009'));
    expect(spies.flatMap(({ heard }) => heard)).toEqual([]);
  });

  test('takes nobody for the service without its password', async () => {
    const guessed = new URL(broker.cloudUrl);
    guessed.password = 'wrong';
    for (const url of [guessed.href, broker.url.replace('//', '//paddock-cloud@')])
      await expect(client('paddock-cloud-test', url)).rejects.toThrow(/[Nn]ot authorized/);
  });

  test('forwards the largest envelope, and disconnects who sends a packet that is larger than one can be', async () => {
    const [device, service] = [await client('kiosk-0001'), await cloud()];
    const topic = topicOf('report', 'kiosk-0001');
    await device.client.publishAsync(topic, 'x'.repeat(MAX_ENVELOPE_BYTES), { qos: 1 });
    await settled(device, service, topic);
    expect(service.heard).toEqual([`${topic} ${'x'.repeat(40)}`, `${topic} that is all`]);
    const gone = new Promise((resolve) => device.client.on('close', () => resolve('closed')));
    device.client.publish(topic, 'z'.repeat(MAX_ENVELOPE_BYTES + 128), { qos: 1 }, () => undefined);
    await expect(gone).resolves.toBe('closed');
  });

  test('sends the service as many at once as the settings say, before it acknowledges any', async () => {
    const device = await client('kiosk-0001');
    const silent = await unacknowledging(broker, '$share/silent/paddock/v1/+/report');
    const topic = topicOf('report', 'kiosk-0001');
    const messages = Array.from({ length: MAX_INFLIGHT + 50 }, (_, n) => `${n}`);
    await Promise.all(messages.map((message) => device.client.publishAsync(topic, message, { qos: 1 })));
    await expect.poll(() => silent.received()).toBe(MAX_INFLIGHT);
    silent.acknowledgeAll();
    await expect.poll(() => silent.received()).toBe(MAX_INFLIGHT + 50);
    silent.end();
  });

  // The broker grants every subscription and only checks what it delivers: a stranger in the group gets nothing to
  // read, but swallows its part. Why the group's name is a secret that the command makes.
  test('loses to a stranger what it shares with it, unless the group is unknown to it', async () => {
    const [device, service] = [await client('kiosk-0001'), await cloud()];
    const stranger = await client('kiosk-0666');
    const topic = topicOf('report', 'kiosk-0001');
    const send = (from: number, to: number) =>
      Promise.all(
        Array.from({ length: to - from }, (_, n) => device.client.publishAsync(topic, `${from + n}`, { qos: 1 })),
      );
    await stranger.client.subscribeAsync('$share/guessed/paddock/v1/+/report', { qos: 1 });
    await send(0, 20);
    await expect.poll(() => service.heard.length).toBe(20);
    await stranger.client.subscribeAsync('$share/paddock/paddock/v1/+/report', { qos: 1 });
    await send(20, 40);
    await stranger.client.unsubscribeAsync('$share/paddock/paddock/v1/+/report');
    await settled(device, service, topic);
    expect(service.heard.length).toBeLessThan(41);
    expect(stranger.heard).toEqual([]);
  });

  test('sends small packets at once', async () => {
    // nodelay belongs to sockets of another process, where nobody can look: its settings have to say so.
    const [file = ''] = (await readFile(`/proc/${broker.pid}/cmdline`, 'utf8')).split('\0').slice(2);
    expect(await readFile(file, 'utf8')).toMatch(/^set_tcp_nodelay true$/m);
  });
});
