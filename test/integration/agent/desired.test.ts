import { existsSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
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

let cloud: CloudProcess;
let member: MemberProcess;
afterEach(async () => {
  await member.remove();
  await cloud.stop();
});

/** A device that has enrolled and reports. */
async function begin(): Promise<void> {
  const kit = join(cloud.dataDir, 'kit.json');
  await paddockOn(cloud, 'factory-keys', 'add', 'works', '--count', '1', '--kit', kit);
  member = await MemberProcess.prepare(await paddockOn(cloud, 'claims', 'make', 'DS-0001', '--kit', kit));
  member.start();
  await expect.poll(async () => (await newest())?.nextWithinMs, WITHIN).toBe(OWN_PACE_MS);
}

async function newest(): Promise<Report | null> {
  if (member.device === null) return null;
  const { status, body } = await cloud.call('GET', `/devices/${member.device}/state`);
  return status === 200 ? (body['report'] as Report) : null;
}
const set = (key: string, value: unknown) =>
  cloud.call('PUT', `/devices/${member.device}/desired/keys/${key}`, { value });
const converged = async (): Promise<unknown> => {
  const { body } = await cloud.call('GET', `/devices/${member.device}/desired`);
  return body['converged'] === true ? body['version'] : body['reported'];
};
const startOf = async (): Promise<number> => (await newest())?.start ?? 0;
const file = (): string => join(member.home, 'state', DESIRED_FILE);

/** What is the same whatever the broker is. */
async function takesUpAndKeeps(): Promise<void> {
  expect(await paddockOn(cloud, 'desired', 'set', member.device ?? '', 'agent', JSON.stringify(SCHEDULE))).toContain(
    'version 1',
  );
  await expect.poll(converged, WITHIN).toBe(1);
  expect(await newest()).toMatchObject({ nextWithinMs: SET_PACE_MS, desired: { epoch: 0, version: 1 } });
  await expect.poll(async () => (await newest())?.trigger.kind, WITHIN).toBe('schedule');
  // Nothing is logged below the level that was set.
  const said = member.log.length;
  await new Promise((resolve) => setTimeout(resolve, 3_000));
  expect(member.log.slice(said)).toBe('');
  // The next start has it before anybody says so.
  const start = await startOf();
  await member.stop();
  member.start();
  await expect.poll(startOf, WITHIN).toBe(start + 1);
  expect(await newest()).toMatchObject({ nextWithinMs: SET_PACE_MS, desired: { epoch: 0, version: 1 } });
  await set('firmware', { name: 'kiosk', version: '1.1.0', counter: 2, sha256: 'ab'.repeat(32) });
  await expect.poll(converged, WITHIN).toEqual({
    epoch: 0,
    version: 2,
    errors: { firmware: { code: 'firmware_not_configured' } },
  });
  expect((await set('agent', { schedule: 'now and then' })).body['code']).toBe('desired_value_invalid');
  await set('agent', { schedule: 'a b c d e' });
  await expect.poll(async () => (await newest())?.desired?.errors?.['agent']?.code, WITHIN).toBe('schedule_invalid');
  expect((await newest())?.nextWithinMs).toBe(OWN_PACE_MS);
  await cloud.call('PUT', `/devices/${member.device}/desired`, { state: { agent: SCHEDULE } });
  await expect.poll(converged, WITHIN).toBe(4);
}

/** Of which nothing is left but half a file. */
async function losesItsFile(): Promise<void> {
  await member.stop();
  expect(existsSync(file())).toBe(true);
  truncateSync(file(), 40);
  const start = await startOf();
  member.start();
  await expect.poll(startOf, WITHIN).toBe(start + 1);
  expect(member.log).toContain('desired_damaged');
  await expect.poll(async () => (await newest())?.desired, WITHIN).toEqual({ epoch: 0, version: 4 });
  expect((await newest())?.nextWithinMs).toBe(SET_PACE_MS);
}

describe('an agent converges upon what is desired of it', () => {
  it(
    'through the embedded broker, which forgets what it retained when the service starts again',
    { timeout: TEST_MS },
    async () => {
      const ports = { PADDOCK_MQTT_TLS_PORT: String(await freePort()) };
      cloud = await startCloudProcess(ports);
      await begin();
      await takesUpAndKeeps();
      await losesItsFile();
      // Set, and the service ends before the device is there again.
      await member.stop();
      await paddockOn(cloud, 'desired', 'unset', member.device ?? '', 'agent');
      process.kill(cloud.pid, 'SIGTERM');
      await cloud.ended;
      cloud = await startCloudProcess(ports, undefined, cloud.dataDir);
      member.start();
      await expect.poll(converged, WITHIN).toBe(5);
      expect((await newest())?.nextWithinMs).toBe(OWN_PACE_MS);
    },
  );

  it('through Mosquitto, which forgets it too', { timeout: TEST_MS }, async () => {
    const onMosquitto = await startCloudOnMosquitto();
    cloud = onMosquitto;
    await begin();
    await takesUpAndKeeps();
    await onMosquitto.mosquitto.restart();
    await losesItsFile();
    await paddockOn(cloud, 'desired', 'unset', member.device ?? '', 'agent');
    await expect.poll(converged, WITHIN).toBe(5);
    expect((await newest())?.nextWithinMs).toBe(OWN_PACE_MS);
  });
});
