import { lockSlots } from '@paddock/agent/adapters/data-dir-lock.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { AGENT_IN_SLOT } from '@paddock/agent/start/which.ts';
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { STATUS_FILE } from '@paddock/agent/clock/clock-status.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBroker } from '../../harness/agent/broker.ts';
import { agent, newHome, startAgent, startAgentIn, type Running } from '../../harness/agent/cli.ts';
import { FakeCloud, type Received } from '../../harness/agent/fake-cloud.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { bringObjects, releaseOf, runUntil } from '../../harness/agent/slots.ts';
import { makeTestKey } from '../../harness/signing.ts';

const DEVICE = 'kiosk-0001';
const closers: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

interface World {
  readonly home: string;
  readonly received: Received[];
  readonly presence: string[];
}

/** A broker and a cloud that answers, and an agent that is configured for them. */
async function world(): Promise<World> {
  const broker = await TestBroker.start();
  closers.push(() => broker.stop());
  const home = newHome();
  const { out } = await agent(home, 'init', '--device', DEVICE, '--url', broker.url, '--json');
  const { publicKey } = JSON.parse(out) as { publicKey: Parameters<typeof importVerificationKey>[0] };
  const device = { ...(await makeTestKey()), verification: await importVerificationKey(publicKey) };
  const cloud = await FakeCloud.create(device);
  cloud.now = () => wallMs(Date.now());
  writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify({ keys: [cloud.key.publicJwk] }));
  const presence: string[] = [];
  broker.aedes.on('publish', ({ topic, payload }) => {
    if (topic === topicOf('presence', DEVICE)) presence.push(payload.toString());
    if (topic === topicOf('report', DEVICE)) void answer(payload.toString());
  });
  const answer = async (envelope: string): Promise<void> => {
    const received = await cloud.receive(envelope);
    if (received.report.ask === undefined) return;
    const payload = await cloud.answer(received);
    broker.aedes.publish(
      { cmd: 'publish', qos: 1, dup: false, retain: false, topic: topicOf('answer', DEVICE), payload },
      () => {},
    );
  };
  return { home, received: cloud.received, presence };
}

function run(home: string): Running {
  const running = startAgent(home, 'run');
  closers.push(async () => {
    running.child.kill('SIGKILL');
    await running.ended;
  });
  return running;
}

describe('the running agent', () => {
  it('reports its boot, says goodbye when told to stop, and ends with 0', async () => {
    const { home, received, presence } = await world();
    const { child, ended } = run(home);
    await until(() => received.length > 0, 'the first report');
    child.kill('SIGTERM');
    const { code, err } = await ended;
    expect(code).toBe(0);
    expect(received[0]?.report).toMatchObject({
      start: 1,
      sequence: 0,
      trigger: { kind: 'boot' },
      readings: { temperature: { unit: '°C' } },
    });
    expect(received.at(-1)?.report.trigger.kind).toBe('shutdown');
    expect(presence).toHaveLength(2);
    expect(
      err
        .split('\n')
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { level: number }).level),
    ).not.toContain(50);
  });

  it('begins a new start after kill -9, with the same identity', async () => {
    const { home, received } = await world();
    const first = run(home);
    await until(() => received.length > 0, 'the first report');
    first.child.kill('SIGKILL');
    await first.ended;
    run(home);
    await until(() => received.some(({ report }) => report.start === 2), 'a report of the second start');
    expect(new Set(received.map(({ report }) => report.incarnation)).size).toBe(1);
  });

  it('begins a new incarnation when its state is damaged, and says so', async () => {
    const { home, received } = await world();
    const first = run(home);
    await until(() => received.length > 0, 'the first report');
    first.child.kill('SIGKILL');
    await first.ended;
    const file = join(home, 'state/state.json');
    writeFileSync(file, readFileSync(file, 'utf8').slice(0, -9));
    const second = run(home);
    await until(() => new Set(received.map(({ report }) => report.incarnation)).size === 2, 'a second incarnation');
    second.child.kill('SIGTERM');
    expect((await second.ended).err).toContain('state_damaged');
  });

  it('does not run twice on one data directory', async () => {
    const { home, received } = await world();
    run(home);
    await until(() => received.length > 0, 'the first report');
    const { code, out } = await agent(home, 'run', '--json');
    expect(code).toBe(1);
    expect(out).toContain('data_dir_in_use');
    const examined = await agent(home, 'doctor', '--seconds', '0', '--json');
    expect(examined.code).toBe(0);
  });

  it('does not share slots with another agent, and what was killed holds them no more', async () => {
    const slots = join(newHome(), 'slots');
    const [one, two] = [await world(), await world()];
    for (const { home } of [one, two]) appendFileSync(join(home, 'agent.yaml'), `\nfirmware:\n  slots: ${slots}\n`);
    const first = run(one.home);
    await until(() => one.received.length > 0, 'a report of the first agent');
    const { code, out } = await agent(two.home, 'run', '--json');
    expect([code, out]).toEqual([1, expect.stringContaining(`Another agent is running on ${slots}`)]);
    expect(out).toContain('data_dir_in_use');
    first.child.kill('SIGKILL');
    await first.ended;
    expect(() => lockSlots(slots)()).not.toThrow();
  });

  it('that ends because another release has its agent says so at its next start', async () => {
    const { home, received } = await world();
    const slots = join(newHome(), 'slots');
    mkdirSync(slots);
    const calls = createTreeCalls(slots);
    const release = releaseOf(1, { [AGENT_IN_SLOT]: 'another agent' });
    bringObjects(calls, release);
    runUntil(calls, release);
    const { code, err } = await startAgentIn(home, { PADDOCK_AGENT_SLOTS: slots }, 'run').ended;
    expect([code, err]).toEqual([0, expect.stringContaining('agent_replaced')]);
    run(home);
    await until(() => received.some(({ report }) => report.start === 2), 'a report of the second start');
    expect(received.find(({ report }) => report.start === 2)?.report.began).toMatchObject({
      agent: { reason: 'update', basedOn: ['clean-end'], detail: 'kiosk-app 1.1.0' },
    });
  });

  it('leaves word of the time for the doctor', async () => {
    const { home } = await world();
    run(home);
    await until(() => existsSync(join(home, 'state', STATUS_FILE)), 'an exchange');
    const { out } = await agent(home, 'doctor', '--seconds', '0', '--json');
    const { findings } = JSON.parse(out) as { findings: { check: string; status: string; message: string }[] };
    expect(findings.find(({ check }) => check === 'clock')).toMatchObject({
      status: 'ok',
      message: expect.stringMatching(/^It is .* ± 0\.\d+ s; the last exchange was .*: right$/),
    });
  });
});
