import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { createMqttLink } from '@paddock/agent/adapters/mqtt.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import type { Clock, Link } from '@paddock/agent/ports.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { until } from '../../harness/agent/fake-clock.ts';
import { TestBroker } from '../../harness/agent/broker.ts';

const TOPIC = 'paddock/v1/kiosk-0001/report';
const ANSWER = 'paddock/v1/kiosk-0001/answer';
const PRESENCE = 'paddock/v1/kiosk-0001/presence';
const closers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function startBroker(port?: number): Promise<TestBroker> {
  const broker = await TestBroker.start(port);
  closers.push(() => broker.stop());
  return broker;
}

interface Opened {
  readonly link: Link;
  readonly heard: string[];
}

/** A link whose presence says which connection it belongs to. */
function openLink(url: string, clock: Clock = createSystemClock()): Opened {
  let connections = 0;
  const link = createMqttLink(
    {
      url,
      clientId: 'kiosk-0001',
      keepAliveSeconds: 30,
      subscriptions: [ANSWER],
      presence: async () => {
        connections += 1;
        const message = (status: string) => ({ topic: PRESENCE, payload: `${status} ${connections}` });
        return { birth: message('online'), will: message('offline') };
      },
    },
    clock,
  );
  const heard: string[] = [];
  link.open({
    online: () => heard.push('online'),
    offline: () => heard.push('offline'),
    message: (topic, payload) => heard.push(`${topic} ${payload}`),
  });
  closers.push(() => link.close());
  return { link, heard };
}

/** A minute of patience takes 600 ms. */
function hurried(): Clock {
  const clock = createSystemClock();
  return { ...clock, sleep: (ms, signal) => clock.sleep(ms / 100, signal) };
}

describe('the link to a broker', () => {
  it('says that it is there, publishes, and hears answers', async () => {
    const broker = await startBroker();
    const published = broker.listen();
    const { link, heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    await link.publish(TOPIC, 'a report');
    expect(published).toEqual([
      { topic: PRESENCE, payload: 'online 1', retain: true },
      { topic: TOPIC, payload: 'a report', retain: false },
    ]);
    broker.aedes.publish(
      { cmd: 'publish', qos: 1, dup: false, retain: false, topic: ANSWER, payload: 'an answer' },
      () => {},
    );
    await until(() => heard.includes(`${ANSWER} an answer`), 'the answer');
  });

  it('is subscribed before it says that it is online', async () => {
    const broker = await startBroker();
    const order: string[] = [];
    broker.aedes.on('subscribe', () => order.push('subscribed'));
    broker.aedes.on('publish', ({ topic }) => void (topic === PRESENCE && order.push('birth')));
    const { heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    expect(order).toEqual(['subscribed', 'birth']);
  });

  it('rejects while there is no connection, and queues nothing', async () => {
    const broker = await startBroker();
    const { port } = broker;
    await broker.stop();
    closers.pop();
    const { link, heard } = openLink(`mqtt://127.0.0.1:${port}`);
    await expect(link.publish(TOPIC, 'too early')).rejects.toMatchObject({ code: 'link_offline' });
    const later = await startBroker(port);
    const published = later.listen();
    await until(() => heard.includes('online'), 'online');
    await link.publish(TOPIC, 'in time');
    expect(published.map(({ payload }) => payload)).toEqual([expect.stringMatching(/^online/), 'in time']);
  });

  it('comes back when the broker has restarted, with a will of its own', async () => {
    const broker = await startBroker();
    const { port } = broker;
    const { link, heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    await broker.stop();
    closers.shift();
    await until(() => heard.includes('offline'), 'offline');
    await expect(link.publish(TOPIC, 'lost')).rejects.toMatchObject({ code: 'link_offline' });
    const again = await startBroker(port);
    const published = again.listen();
    await until(() => heard.filter((what) => what === 'online').length === 2, 'online again');
    again.cut();
    await until(() => published.some(({ payload }) => payload.startsWith('offline')), 'the will');
    const [birth, will] = published.map(({ payload }) => payload.split(' '));
    expect(will?.[1]).toBe(birth?.[1]);
    expect(Number(birth?.[1])).toBeGreaterThan(1);
  });

  it('rejects what was on its way when the connection breaks', async () => {
    const broker = await startBroker();
    const { link, heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    broker.aedes.authorizePublish = () => {};
    const publishing = link.publish(TOPIC, 'never acknowledged');
    broker.cut();
    await expect(publishing).rejects.toMatchObject({ code: 'link_offline' });
  });

  it('has only so much on its way at once', async () => {
    const broker = await startBroker();
    const { link, heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    broker.aedes.authorizePublish = () => {};
    const results = Array.from({ length: 17 }, () =>
      link.publish(TOPIC, 'x').then(String, (error: { code: string }) => error.code),
    );
    expect(await results.at(-1)).toBe('link_busy');
    broker.cut();
    expect(new Set(await Promise.all(results.slice(0, -1)))).toEqual(new Set(['link_offline']));
  });

  it.each([
    ['subscription', (broker: TestBroker) => (broker.aedes.authorizeSubscribe = () => {})],
    ['birth', (broker: TestBroker) => (broker.aedes.authorizePublish = () => {})],
  ])('gives up a broker that never acknowledges its %s, and tries again', async (_what, silence) => {
    const broker = await startBroker();
    const { authorizeSubscribe, authorizePublish } = broker.aedes;
    silence(broker);
    const { heard } = openLink(broker.url, hurried());
    await until(() => heard.includes('offline'), 'given up');
    Object.assign(broker.aedes, { authorizeSubscribe, authorizePublish });
    await until(() => heard.includes('online'), 'online');
    expect(heard.at(-1)).toBe('online');
  });

  it('leaves a connection on which nothing is acknowledged any more', async () => {
    const broker = await startBroker();
    const { authorizePublish } = broker.aedes;
    const { link, heard } = openLink(broker.url, hurried());
    await until(() => heard.includes('online'), 'online');
    broker.aedes.authorizePublish = () => {};
    await expect(link.publish(TOPIC, 'never acknowledged')).rejects.toMatchObject({ code: 'link_offline' });
    await until(() => heard.includes('offline'), 'left');
    broker.aedes.authorizePublish = authorizePublish;
    await until(() => heard.at(-1) === 'online', 'online again');
  });

  it('says goodbye itself when it closes, and the broker says nothing more', async () => {
    const broker = await startBroker();
    const published = broker.listen();
    const { link, heard } = openLink(broker.url);
    await until(() => heard.includes('online'), 'online');
    const gone = once(broker.aedes, 'clientDisconnect');
    await link.close();
    await gone;
    expect(published.map(({ payload }) => payload)).toEqual(['online 1', 'offline 1']);
    expect(heard).toEqual(['online']);
    await expect(link.publish(TOPIC, 'too late')).rejects.toMatchObject({ code: 'link_offline' });
  });

  it('leaves its will to the broker when its process is killed', async () => {
    const broker = await startBroker();
    const published = broker.listen();
    const child = spawn(process.execPath, [
      fileURLToPath(new URL('../../harness/agent/link-process.ts', import.meta.url)),
      broker.url,
    ]);
    await until(() => published.length > 0, 'the birth of the other process');
    child.kill('SIGKILL');
    await until(() => published.length > 1, 'its will');
    expect(published.map(({ payload }) => payload)).toEqual(['online', 'offline']);
  });
});
