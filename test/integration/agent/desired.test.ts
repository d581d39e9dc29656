import { existsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type ExpectStatic, type TestContext } from 'vitest';
import { DESIRED_FILE } from '@paddock/agent/desired/file.ts';
import type { ReportedDesired } from '@paddock/shared/desired.ts';
import { MemberProcess, paddockOn } from '../../harness/agent/member-process.ts';
import { startCloudOnMosquitto } from '../../harness/cloud-on-mosquitto.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { freePort } from '../../harness/free-port.ts';

const WITHIN = { timeout: 60_000, interval: 100 };
const TEST_MS = 240_000;
/** What a report says of a schedule of every two seconds, and of one of every five. */
const [OWN_PACE_MS, SET_PACE_MS] = [32_000, 35_000];
const SCHEDULE = { schedule: '*/5 * * * * *', logLevel: 'error' };

interface Report {
  readonly start: number;
  readonly nextWithinMs: number;
  readonly trigger: { readonly kind: string };
  readonly desired?: ReportedDesired;
}

/** A test's own: both go on side by side, because they wait most of the time. */
interface Side {
  cloud: CloudProcess;
  readonly member: MemberProcess;
  readonly expect: ExpectStatic;
}

/** A device that has enrolled and reports. */
async function begin(cloud: CloudProcess, { expect, onTestFinished }: TestContext): Promise<Side> {
  const kit = join(cloud.dataDir, 'kit.json');
  await paddockOn(cloud, 'factory-keys', 'add', 'works', '--count', '1', '--kit', kit);
  const member = await MemberProcess.prepare(await paddockOn(cloud, 'claims', 'make', 'DS-0001', '--kit', kit));
  const side = { cloud, member, expect };
  onTestFinished(() => member.remove());
  member.start();
  await expect.poll(async () => (await newest(side))?.nextWithinMs, WITHIN).toBe(OWN_PACE_MS);
  return side;
}

async function newest({ cloud, member }: Side): Promise<Report | null> {
  if (member.device === null) return null;
  const { status, body } = await cloud.call('GET', `/devices/${member.device}/state`);
  return status === 200 ? (body['report'] as Report) : null;
}
const set = ({ cloud, member }: Side, key: string, value: unknown) =>
  cloud.call('PUT', `/devices/${member.device}/desired/keys/${key}`, { value });
const converged = async ({ cloud, member }: Side): Promise<unknown> => {
  const { body } = await cloud.call('GET', `/devices/${member.device}/desired`);
  return body['converged'] === true ? body['version'] : body['reported'];
};
const startOf = async (side: Side): Promise<number> => (await newest(side))?.start ?? 0;

/** What is the same whatever the broker is. */
async function takesUpAndKeeps(side: Side): Promise<void> {
  const { cloud, member, expect } = side;
  expect(await paddockOn(cloud, 'desired', 'set', member.device ?? '', 'agent', JSON.stringify(SCHEDULE))).toContain(
    'version 1',
  );
  await expect.poll(() => converged(side), WITHIN).toBe(1);
  expect(await newest(side)).toMatchObject({ nextWithinMs: SET_PACE_MS, desired: { epoch: 0, version: 1 } });
  await expect.poll(async () => (await newest(side))?.trigger.kind, WITHIN).toBe('schedule');
  // Nothing is logged below the level that was set.
  const said = member.log.length;
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect(member.log.slice(said)).toBe('');
  // The next start has it before anybody says so.
  const start = await startOf(side);
  await member.stop();
  member.start();
  await expect.poll(() => startOf(side), WITHIN).toBe(start + 1);
  expect(await newest(side)).toMatchObject({ nextWithinMs: SET_PACE_MS, desired: { epoch: 0, version: 1 } });
  await set(side, 'firmware', { name: 'kiosk', version: '1.1.0', counter: 2, sha256: 'ab'.repeat(32) });
  await expect
    .poll(() => converged(side), WITHIN)
    .toEqual({
      epoch: 0,
      version: 2,
      errors: { firmware: { code: 'firmware_not_configured' } },
    });
  expect((await set(side, 'agent', { schedule: 'now and then' })).body['code']).toBe('desired_value_invalid');
  await set(side, 'agent', { schedule: 'a b c d e' });
  await expect
    .poll(async () => (await newest(side))?.desired?.errors?.['agent']?.code, WITHIN)
    .toBe('schedule_invalid');
  expect((await newest(side))?.nextWithinMs).toBe(OWN_PACE_MS);
  await cloud.call('PUT', `/devices/${member.device}/desired`, { state: { agent: SCHEDULE } });
  await expect.poll(() => converged(side), WITHIN).toBe(4);
}

/** Of which nothing is left but half a file. */
async function losesItsFile(side: Side): Promise<void> {
  const { member, expect } = side;
  const file = join(member.home, 'state', DESIRED_FILE);
  await member.stop();
  expect(existsSync(file)).toBe(true);
  truncateSync(file, 40);
  const start = await startOf(side);
  member.start();
  await expect.poll(() => startOf(side), WITHIN).toBe(start + 1);
  expect(member.log).toContain('desired_damaged');
  await expect.poll(async () => (await newest(side))?.desired, WITHIN).toEqual({ epoch: 0, version: 4 });
  expect((await newest(side))?.nextWithinMs).toBe(SET_PACE_MS);
}

describe.concurrent('an agent converges upon what is desired of it', () => {
  it(
    'through the embedded broker, which forgets what it retained when the service starts again',
    { timeout: TEST_MS },
    async (context) => {
      const ports = { PADDOCK_MQTT_TLS_PORT: String(await freePort()) };
      const first = await startCloudProcess(ports);
      let cloud = first;
      context.onTestFinished(() => cloud.stop());
      const side = await begin(first, context);
      const { member, expect } = side;
      await takesUpAndKeeps(side);
      await losesItsFile(side);
      // Set, and the service ends before the device is there again.
      await member.stop();
      await paddockOn(first, 'desired', 'unset', member.device ?? '', 'agent');
      process.kill(first.pid, 'SIGTERM');
      await first.ended;
      side.cloud = cloud = await startCloudProcess(ports, undefined, first.dataDir);
      member.start();
      await expect.poll(() => converged(side), WITHIN).toBe(5);
      expect((await newest(side))?.nextWithinMs).toBe(OWN_PACE_MS);
    },
  );

  it('through Mosquitto, which forgets it too', { timeout: TEST_MS }, async (context) => {
    const cloud = await startCloudOnMosquitto();
    context.onTestFinished(() => cloud.stop());
    const side = await begin(cloud, context);
    const { member, expect } = side;
    await takesUpAndKeeps(side);
    await cloud.mosquitto.restart();
    await losesItsFile(side);
    await paddockOn(cloud, 'desired', 'unset', member.device ?? '', 'agent');
    await expect.poll(() => converged(side), WITHIN).toBe(5);
    expect((await newest(side))?.nextWithinMs).toBe(OWN_PACE_MS);
  });
});
