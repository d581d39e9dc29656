import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EmbeddedBroker, type BrokerLimits } from '@paddock/cloud/adapters/aedes.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { BrokerClient, Inbound } from '@paddock/cloud/ports.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { RawClient } from '../../harness/raw-client.ts';

const DEVICE = 'kiosk-0001';

describe('the embedded broker among hostile clients', () => {
  let broker: EmbeddedBroker;
  let received: Inbound[];
  let foreign: string[];
  let oversized: BrokerClient[];
  let refused: [code: string, client: BrokerClient][];
  const clients: RawClient[] = [];
  const client = (): RawClient => {
    const made = new RawClient(connect(broker.port, '127.0.0.1'));
    clients.push(made);
    return made;
  };

  const start = async (limits: Partial<BrokerLimits> = {}): Promise<void> => {
    broker = new EmbeddedBroker({
      host: '127.0.0.1',
      port: 0,
      clock: systemClock,
      limits,
    });
    await broker.open({
      message: async (inbound) => void received.push(inbound),
      foreign: (_client, topic, action) => foreign.push(`${action} ${topic}`),
      oversized: (client) => oversized.push(client),
      refusedConnection: (...refusal) => refused.push(refusal),
      reachable: () => undefined,
    });
  };

  beforeEach(() => {
    received = [];
    foreign = [];
    oversized = [];
    refused = [];
  });
  afterEach(async () => {
    for (const one of clients.splice(0)) one.end();
    await broker.close();
  });

  it('ends who announces a packet of 200 MB, before it is sent', async () => {
    await start();
    const giant = await client().hello(DEVICE);
    await giant.next('connack');
    // PUBLISH, QoS 0; a remaining length of 200,000,000.
    giant.write(Uint8Array.of(0x30, 0x80, 0x84, 0xaf, 0x5f));
    await giant.closed;
    expect(oversized).toEqual([{ clientId: DEVICE, deviceId: null, address: '127.0.0.1' }]);
  });

  it('still hands over what is too large for an envelope, so that it gets its code', async () => {
    await start();
    const large = await client().hello(DEVICE);
    await large.publish(topicOf('report', DEVICE), Buffer.alloc(1_000_000, 'a'));
    await large.next('puback');
    expect(received.map(({ payload }) => payload.length)).toEqual([1_000_000]);
  });

  it('subscribes nobody to wildcards, shares, the system or another device', async () => {
    await start();
    const listener = await client().hello(DEVICE);
    const own = topicOf('answer', DEVICE);
    const others = ['#', '+/#', '$SYS/#', `$share/g/${own}`, 'paddock/v1/+/answer', topicOf('answer', 'kiosk-0002')];
    await listener.subscribe(own, ...others);
    expect(await listener.next('suback')).toMatchObject({ granted: [1, ...others.map(() => 128)] });
    await broker.publish(topicOf('answer', 'kiosk-0002'), 'not yours');
    await broker.publish(own, 'yours');
    await listener.next('publish');
    expect(listener.packets.filter(({ cmd }) => cmd === 'publish')).toHaveLength(1);
  });

  it('turns away who is no device, with the code of MQTT', async () => {
    await start();
    const stranger = await client().hello('paddock-cloud-$$$');
    expect(await stranger.next('connack')).toMatchObject({ returnCode: 2 });
    await stranger.closed;
  });

  it('turns away who leaves a will on another topic, and publishes none', async () => {
    await start();
    const heir = await client().hello('kiosk-0002');
    await heir.subscribe(topicOf('answer', 'kiosk-0002'));
    await heir.next('suback');
    const topic = topicOf('answer', 'kiosk-0002');
    const dying = await client().hello(DEVICE, {
      will: { topic, payload: Buffer.from('forged'), qos: 1, retain: true },
    });
    await dying.closed;
    expect(foreign).toEqual([`leaveWill ${topic}`]);
    await broker.publish(topic, 'genuine');
    expect(await heir.next('publish')).toMatchObject({ payload: Buffer.from('genuine') });
  });

  it('takes nothing under the topic of another device or of the system', async () => {
    await start();
    for (const topic of [topicOf('report', 'kiosk-0002'), topicOf('answer', DEVICE), '$SYS/broker', 'elsewhere']) {
      const thief = await client().hello(DEVICE);
      await thief.publish(topic, 'as another', { retain: true });
      await thief.closed;
      expect(foreign.at(-1)).toBe(`publish ${topic}`);
    }
    expect(received).toEqual([]);
  });

  it('keeps no session, whatever a client asks for', async () => {
    await start();
    const answers = topicOf('answer', DEVICE);
    const before = await client().hello(DEVICE, { clean: false });
    await before.subscribe(answers);
    await before.next('suback');
    before.end();
    await before.closed;
    await sleep(50);
    for (let n = 0; n < 100; n++) await broker.publish(answers, `while away ${n}`);
    const again = await client().hello(DEVICE, { clean: false });
    expect(await again.next('connack')).toMatchObject({ sessionPresent: false });
    await again.subscribe(answers);
    await again.next('suback');
    await broker.publish(answers, 'now');
    expect(await again.next('publish')).toMatchObject({ payload: Buffer.from('now') });
  });

  it('takes no more connections than it may, and takes some again when others are gone', async () => {
    await start({ connections: 10 });
    const taken = await Promise.all(Array.from({ length: 10 }, (_, n) => client().hello(`kiosk-${1000 + n}`)));
    await Promise.all(taken.map((one) => one.next('connack')));
    await client().closed;
    taken[0]?.end();
    await taken[0]?.closed;
    await sleep(50);
    expect(await (await client().hello(DEVICE)).next('connack')).toMatchObject({ returnCode: 0 });
  });

  it('closes at once although connections say nothing', async () => {
    await start();
    const silent = client();
    const half = client();
    half.write(Uint8Array.of(0x10, 0x20));
    await sleep(50);
    // Without an end to them this takes as long as they may take to say who they are.
    await broker.close();
    expect(await Promise.all([silent.closed, half.closed])).toHaveLength(2);
  });
});
