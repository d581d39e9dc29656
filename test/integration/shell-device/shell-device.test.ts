import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAnswer, type Answer } from '@paddock/shared/answer.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { makeTestKey } from '../../harness/signing.ts';

const SCRIPT = join(import.meta.dirname, 'device.sh');
const DEVICE = 'shell-0001';

/** A device made of openssl and Mosquitto's clients, registered by the API as any other. */
describe('a device in a shell script', () => {
  let cloud: CloudProcess;
  let folder: string;
  const keysFile = (): string => join(folder, 'cloud-keys.json');

  const device = async (...args: string[]): Promise<string> => (await promisify(execFile)(SCRIPT, args)).stdout.trim();
  const report = async (): Promise<Answer> =>
    parseAnswer(JSON.parse(await device('report', join(folder, 'state'), DEVICE, cloud.mqttUrl, keysFile())));

  beforeAll(async () => {
    cloud = await startCloudProcess();
    folder = await mkdtemp(join(tmpdir(), 'paddock-shell-device-'));
    const publicKey: unknown = JSON.parse(await device('key', join(folder, 'state')));
    const registered = await cloud.call('POST', '/devices', { deviceId: DEVICE, publicKey });
    expect(registered.status).toBe(201);
    await writeFile(keysFile(), JSON.stringify(registered.body['cloudKeys'], null, 2));
  });
  afterAll(async () => {
    await cloud?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  it('keeps its key to itself', async () => {
    expect((await stat(join(folder, 'state', 'key.pem'))).mode & 0o777).toBe(0o600);
  });

  it('is recorded, and verifies the answer that says so', async () => {
    const answer = await report();
    expect(answer).toMatchObject({ device: DEVICE, start: 1, recorded: [[0, 1]], rejected: [] });
    const { body } = await cloud.call('GET', `/devices/${DEVICE}`);
    expect(body).toMatchObject({
      lastReport: { start: 1, sequence: 1, trigger: { kind: 'connect' } },
      readings: { door: { value: true, changes: 0 } },
    });
    const reports = await cloud.call('GET', `/devices/${DEVICE}/reports`);
    expect(reports.body['items']).toHaveLength(2);
    const presence = async () => (await cloud.call('GET', `/devices/${DEVICE}`)).body['presence'];
    await expect.poll(presence, { timeout: 20_000 }).toBe('online');
  });

  it('counts its starts', async () => {
    const [before, after] = [await report(), await report()];
    expect(after).toMatchObject({ start: (before.start ?? 0) + 1, incarnation: before.incarnation });
  });

  it('does not take an answer of another cloud', async () => {
    const genuine = await readFile(keysFile(), 'utf8');
    try {
      const { publicJwk } = await makeTestKey();
      await writeFile(keysFile(), JSON.stringify({ keys: [publicJwk] }));
      await expect(report()).rejects.toMatchObject({ code: 1, stderr: expect.stringContaining('no key of the cloud') });
    } finally {
      await writeFile(keysFile(), genuine);
    }
  });
});
