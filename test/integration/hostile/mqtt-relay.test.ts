import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type Packet } from 'mqtt-packet';
import { afterEach, describe, expect, it } from 'vitest';
import { MqttFrames } from '../../harness/mqtt-frames.ts';
import { startMqttRelay, type MqttRelay, type MqttRelayOptions, type Passed } from '../../harness/mqtt-relay.ts';
import { DEEDS, type Deed } from '../../harness/mqtt-trouble.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

/** What one end of a connection hears, packet by packet. */
class End {
  readonly socket: Socket;
  readonly heard: number[] = [];
  isOver = false;

  constructor(socket: Socket) {
    this.socket = socket;
    const frames = new MqttFrames();
    socket.on('error', () => undefined);
    socket.on('close', () => (this.isOver = true));
    socket.on('data', (chunk: Buffer) => {
      for (const { packet } of frames.add(chunk)) this.heard.push(packet?.messageId ?? 0);
    });
  }

  /** One packet after the other, so that each is a piece of its own on the network. */
  async say(...packets: readonly Packet[]): Promise<void> {
    for (const packet of packets) {
      this.socket.write(generate(packet));
      await sleep(1);
    }
  }

  async hears(count: number): Promise<number[]> {
    while (this.heard.length < count) await sleep(5);
    return this.heard;
  }

  async ends(): Promise<void> {
    while (!this.isOver) await sleep(5);
  }
}

/** A far end that keeps its connections, behind a relay. */
async function build(options: MqttRelayOptions = {}) {
  const arrived: Socket[] = [];
  const server = createServer((socket) => void arrived.push(socket)).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const relay = await startMqttRelay(() => port, options);
  closers.push(
    async () => server.close(),
    () => relay.close(),
  );
  const join = async (): Promise<{ client: End; broker: End }> => {
    const number = arrived.length;
    const client = new End(connect(relay.port, '127.0.0.1'));
    await once(client.socket, 'connect');
    while (arrived.length === number) await sleep(2);
    return { client, broker: new End(arrived[number] as Socket) };
  };
  return { relay, join, arrived };
}

const publish = (messageId: number): Packet => ({
  cmd: 'publish',
  topic: 'paddock/v1/kiosk-0001/report',
  payload: `number ${messageId}`,
  qos: 1,
  messageId,
  dup: false,
  retain: false,
});
const puback = (messageId: number): Packet => ({ cmd: 'puback', messageId });
const subscribe: Packet = { cmd: 'subscribe', messageId: 99, subscriptions: [{ topic: 'a', qos: 1 }] };
const NUMBERS = Array.from({ length: 40 }, (_, n) => n + 1);

describe('the hostile relay', () => {
  it('passes every byte on and tells of every message, when nothing is asked of it', async () => {
    const passed: Passed[] = [];
    const { join, relay } = await build({ passed: (message) => passed.push(message) });
    const { client, broker } = await join();
    await client.say(
      { cmd: 'connect', clientId: 'kiosk-0001', protocolId: 'MQTT', protocolVersion: 4, clean: true, keepalive: 0 },
      ...NUMBERS.map(publish),
    );
    await broker.say(puback(1), puback(2));
    expect(await broker.hears(41)).toEqual([0, ...NUMBERS]);
    expect(await client.hears(2)).toEqual([1, 2]);
    expect(passed.map(({ payload }) => payload)).toEqual(NUMBERS.map((n) => `number ${n}`));
    expect(passed[0]).toMatchObject({ clientId: 'kiosk-0001', from: 'client' });
    expect(relay.deeds()).toEqual({});
  });

  const only = (deed: Deed) => [
    { from: 'client', packets: ['publish'], shares: { [deed]: 0.3 }, delayMs: [20, 40] } as const,
  ];

  it('drops, repeats, delays and reorders single packets of the kinds it is told, and counts them', async () => {
    const { relay, join } = await build({ seed: 5 });
    const { client, broker } = await join();
    const talk = async (deed: Deed): Promise<{ times: number; heard: number[] }> => {
      relay.trouble(only(deed));
      broker.heard.length = 0;
      const before = relay.deeds()[`client publish ${deed}`] ?? 0;
      await client.say(...NUMBERS.map(publish), subscribe);
      await sleep(300);
      expect(broker.heard.filter((number) => number === 99)).toHaveLength(1);
      return { times: (relay.deeds()[`client publish ${deed}`] ?? 0) - before, heard: [...broker.heard] };
    };
    const inOrder = (numbers: readonly number[]) => numbers.toSorted((a, b) => a - b);
    const dropped = await talk('drop');
    expect(dropped.times).toBeGreaterThan(3);
    expect(dropped.heard).toHaveLength(41 - dropped.times);
    const repeated = await talk('repeat');
    expect(repeated.times).toBeGreaterThan(3);
    expect(repeated.heard).toHaveLength(41 + repeated.times);
    for (const deed of ['delay', 'reorder'] as const) {
      const moved = await talk(deed);
      expect(moved.times).toBeGreaterThan(3);
      expect(inOrder(moved.heard)).toEqual(inOrder([...NUMBERS, 99]));
      expect(moved.heard).not.toEqual([...NUMBERS, 99]);
    }
    expect(Object.keys(relay.deeds()).every((name) => name.startsWith('client publish '))).toBe(true);
  });

  it('troubles what the broker says, too', async () => {
    const { relay, join } = await build({ troubles: [{ from: 'broker', packets: ['puback'], shares: { drop: 1 } }] });
    const { client, broker } = await join();
    await broker.say(...NUMBERS.map(puback), publish(50));
    expect(await client.hears(1)).toEqual([50]);
    expect(relay.deeds()).toEqual({ 'broker puback drop': 40 });
  });

  it('breaks a connection at a packet, and lets the next one be', async () => {
    const { relay, join } = await build({ troubles: [{ from: 'client', packets: ['publish'], shares: { cut: 1 } }] });
    const first = await join();
    const second = await join();
    await first.client.say(subscribe, publish(1), publish(2));
    await Promise.all([first.client.ends(), first.broker.ends()]);
    expect(first.broker.heard).toEqual([99]);
    await second.client.say(subscribe);
    expect(await second.broker.hears(1)).toEqual([99]);
    expect(relay.deeds()).toEqual({ 'client publish cut': 1 });
  });

  it('does the same deeds for the same seed, and other ones for another', async () => {
    const shares = Object.fromEntries(DEEDS.filter((deed) => deed !== 'cut').map((deed) => [deed, 0.15]));
    const run = async (seed: number) => {
      const { relay, join } = await build({ seed, troubles: [{ from: 'client', shares, delayMs: [100, 100] }] });
      const { client, broker } = await join();
      await client.say(...NUMBERS.map(publish));
      await sleep(350);
      return { deeds: relay.deeds(), heard: broker.heard.toSorted((a, b) => a - b) };
    };
    const once = await run(11);
    expect(await run(11)).toEqual(once);
    expect(await run(12)).not.toEqual(once);
  });
});

describe('a network in trouble', () => {
  it('cuts what stands, and lets in what comes then', async () => {
    const { relay, join } = await build();
    const [first, second] = [await join(), await join()];
    expect(relay.connections()).toBe(2);
    expect(relay.cut()).toBe(2);
    await Promise.all([first, second].flatMap(({ client, broker }) => [client.ends(), broker.ends()]));
    const third = await join();
    await third.client.say(publish(1));
    expect(await third.broker.hears(1)).toEqual([1]);
  });

  it('stalls: connections are accepted and stand, and nothing arrives until it ends', async () => {
    const { relay, join, arrived } = await build();
    const { client, broker } = await join();
    relay.stall();
    await client.say(publish(1));
    await broker.say(puback(2));
    const late = new End(connect(relay.port, '127.0.0.1'));
    await once(late.socket, 'connect');
    await late.say(publish(3));
    await sleep(100);
    expect([client.heard, broker.heard, arrived.length]).toEqual([[], [], 1]);
    expect([client, broker, late].some(({ isOver }) => isOver)).toBe(false);
    relay.flow();
    expect(await broker.hears(1)).toEqual([1]);
    expect(await client.hears(1)).toEqual([2]);
    while (arrived.length < 2) await sleep(5);
    expect(await new End(arrived[1] as Socket).hears(1)).toEqual([3]);
  });

  it('refuses while there is no broker', async () => {
    const relay: MqttRelay = await startMqttRelay(() => null);
    closers.push(() => relay.close());
    const client = new End(connect(relay.port, '127.0.0.1'));
    await client.ends();
    expect(client.heard).toEqual([]);
  });
});
