import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { RemoteBroker } from '@paddock/cloud/adapters/mqtt.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { startMosquitto, type Mosquitto } from '../../harness/mosquitto.ts';
import { startPacedRelay } from '../../harness/mqtt-pace.ts';
import { startMqttRelay, type MqttRelay } from '../../harness/mqtt-relay.ts';

const TOPIC = topicOf('report', 'kiosk-0001');

let mosquitto: Mosquitto;
let relay: MqttRelay;
let device: MqttClient;
/** What the broker gave to each connection of the service, by client id. */
const given = new Map<string, number>();
/** What each connection of the service published, by client id. */
const published = new Map<string, number>();

beforeAll(async () => {
  mosquitto = await startMosquitto();
  relay = await startMqttRelay(() => mosquitto.port, {
    passed({ clientId, from }) {
      const counts = from === 'client' ? published : given;
      counts.set(clientId, (counts.get(clientId) ?? 0) + 1);
    },
  });
  device = await connectAsync(mosquitto.url, { clientId: 'kiosk-0001', protocolVersion: 4 });
});
afterEach(() => {
  given.clear();
  published.clear();
});
afterAll(async () => {
  await device.endAsync(true);
  await relay.close();
  await mosquitto.stop();
});

interface Service {
  readonly broker: RemoteBroker;
  /** What arrived, and how often `message` was called. */
  readonly heard: Set<string>;
  /** What it said of being reachable, in order. */
  readonly reachable: boolean[];
}

async function service(connections: number, url = relay.url): Promise<Service> {
  const broker = new RemoteBroker({ url, shareGroup: 'paddock', connections, clock: systemClock });
  const heard = new Set<string>();
  const reachable: boolean[] = [];
  await broker.open({
    async message({ payload }) {
      // As recording takes its time: some are always under way.
      await systemClock.sleep(5);
      heard.add(Buffer.from(payload).toString());
    },
    foreign: () => undefined,
    oversized: () => undefined,
    refusedConnection: () => undefined,
    reachable: (is) => void reachable.push(is),
  });
  await expect.poll(() => reachable.filter(Boolean).length).toBe(connections);
  return { broker, heard, reachable };
}

/** As devices do: what was not recorded is sent again. */
async function sendUntilHeard(messages: readonly string[], heard: ReadonlySet<string>): Promise<void> {
  for (;;) {
    const missing = messages.filter((one) => !heard.has(one));
    if (missing.length === 0) return;
    await Promise.all(missing.map((one) => device.publishAsync(TOPIC, one, { qos: 1 })));
    await systemClock.sleep(300);
  }
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, n) => `report ${n}`);

describe('several connections to another broker', () => {
  test('share what devices send, and each gets its part', async () => {
    const { broker, heard } = await service(3);
    const messages = numbered(90);
    await Promise.all(messages.map((one) => device.publishAsync(TOPIC, one, { qos: 1 })));
    await expect.poll(() => heard.size).toBe(90);
    expect([...given.values()].toSorted((one, other) => one - other).map((count) => count >= 20)).toEqual([
      true,
      true,
      true,
    ]);
    // Shared, not copied.
    expect([...given.values()].reduce((sum, count) => sum + count, 0)).toBe(90);
    await broker.close();
  });

  test('carry about three times as much as one where each connection is held to 100 messages a second', async () => {
    const paced = await startPacedRelay(() => mosquitto.port, 100);
    const messages = numbered(300);
    const tookMs = async (connections: number): Promise<number> => {
      const { broker, heard } = await service(connections, `mqtt://127.0.0.1:${paced.port}`);
      const began = performance.now();
      await Promise.all(messages.map((one) => device.publishAsync(TOPIC, one, { qos: 1 })));
      while (heard.size < messages.length) await systemClock.sleep(10);
      const took = performance.now() - began;
      await broker.close();
      return took;
    };
    const [one, three] = [await tookMs(1), await tookMs(3)];
    await paced.close();
    expect(one / three).toBeGreaterThan(2);
  });

  test('take turns in publishing', async () => {
    const { broker } = await service(3);
    for (let n = 0; n < 9; n++) await broker.publish(topicOf('answer', 'kiosk-0001'), `${n}`);
    expect([...published.values()]).toEqual([3, 3, 3]);
    await broker.close();
  });

  test('lose nothing when one of them dies, and are reachable all the while', async () => {
    const { broker, heard, reachable } = await service(3);
    const messages = numbered(200);
    const sending = sendUntilHeard(messages, heard);
    await expect.poll(() => given.size).toBe(3);
    const [victim = ''] = given.keys();
    // Who comes with its client id takes its place: the broker closes the connection, with what was under way on it.
    const thief = await connectAsync(mosquitto.url, { clientId: victim, protocolVersion: 4, reconnectPeriod: 0 });
    await sending;
    expect(heard.size).toBe(200);
    expect(reachable).not.toContain(false);
    // It comes back, and throws the other one out in turn.
    await expect.poll(() => reachable.filter(Boolean).length, { timeout: 10_000 }).toBeGreaterThan(4);
    await thief.endAsync(true);
    await broker.close();
  });

  test('are not reachable when all of them are gone, and publish nothing then', async () => {
    const { broker, reachable } = await service(2);
    relay.cut();
    await expect.poll(() => reachable.includes(false)).toBe(true);
    await expect(broker.publish(topicOf('answer', 'kiosk-0001'), 'x')).rejects.toThrow('not connected');
    await expect.poll(() => reachable.at(-1), { timeout: 10_000 }).toBe(true);
    await broker.close();
  });

  test('are closed cleanly: none stands, none comes back, nothing is heard any more', async () => {
    const { broker, heard } = await service(3);
    expect(relay.connections()).toBe(3);
    await broker.close();
    await expect.poll(() => relay.connections()).toBe(0);
    await device.publishAsync(TOPIC, 'to nobody', { qos: 1 });
    await systemClock.sleep(1_500);
    expect(relay.connections()).toBe(0);
    expect(heard.size).toBe(0);
  });
});
