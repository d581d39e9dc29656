import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seal } from '@paddock/shared/envelope.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { Member } from '../../harness/agent/member.ts';
import { startCloudOnMosquitto, type CloudOnMosquitto } from '../../harness/cloud-on-mosquitto.ts';
import type { RawClient } from '../../harness/raw-client.ts';
import { reportOf } from '../../harness/reports.ts';

const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');
const WITHIN = { timeout: 30_000, interval: 100 };

let cloud: CloudOnMosquitto;
let folder: string;
let claims: string[];
/** As long as it is missing, the broker cannot be told. */
let gate: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'paddock-revocation-'));
  gate = join(folder, 'gate');
  await writeFile(gate, '');
  cloud = await startCloudOnMosquitto({}, ({ reloadCommand }) => `test -e ${gate} && ${reloadCommand}`);
  const kit = join(folder, 'kit.json');
  await paddock('factory-keys', 'add', 'works', '--count', '9', '--kit', kit);
  claims = (await paddock('claims', 'make', 'MQ-0001', 'MQ-0002', 'MQ-0003', '--kit', kit)).split('\n');
}, 180_000);
afterAll(async () => {
  await cloud.stop();
  await rm(folder, { recursive: true });
});

const paddock = async (...args: string[]): Promise<string> => {
  const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  return (await promisify(execFile)(process.execPath, [PROGRAM, ...args, ...place])).stdout.trim();
};

/** A device that is let in, and its connection. */
async function connected(): Promise<{ member: Member; live: RawClient; device: string }> {
  const member = await Member.open(claims.pop() ?? '');
  await member.ask();
  const live = await member.connect();
  if (live === null) throw new Error('The broker does not take it');
  return { member, live, device: member.standing.device };
}

async function report({ member, live, device }: Awaited<ReturnType<typeof connected>>, sequence: number) {
  await live.publish(
    topicOf('report', device),
    await seal('report', reportOf({ device, sequence, uptimeMs: 60_000 + sequence }), member.identity.signing),
  );
}

const lastSequence = async (device: string): Promise<unknown> => {
  const { body } = await cloud.call('GET', `/devices/${device}`);
  return (body['lastReport'] as { sequence?: number } | null)?.sequence;
};

/** What the audit log has of closed connections. */
async function disconnected(device: string): Promise<unknown[]> {
  const { body } = await cloud.call('GET', `/audit?device=${device}&action=disconnect`);
  return (body['items'] as { result: string; actor: string }[]).map(({ actor, result }) => `${actor} ${result}`);
}

const rejected = async (code: string): Promise<number> => {
  const exposed = await (await fetch(`${cloud.httpUrl}/metrics`)).text();
  return Number(new RegExp(`^paddock_reports_rejected_total\\{code="${code}"\\} (\\d+)$`, 'm').exec(exposed)?.[1] ?? 0);
};

test('a key that is taken back is disbelieved at once, and put out of the broker as soon as that can be told', async () => {
  const thief = await connected();
  const other = await connected();
  await report(thief, 0);
  await expect.poll(() => lastSequence(thief.device), WITHIN).toBe(0);
  await rm(gate);
  await paddock('devices', 'revoke-key', thief.device, '--reason', 'stolen');
  // The broker knows nothing yet: it is the cloud that does not believe.
  await report(thief, 1);
  await expect.poll(() => rejected('key_revoked'), WITHIN).toBe(1);
  expect(await lastSequence(thief.device)).toBe(0);
  expect(thief.live.packets.filter(({ cmd }) => cmd === 'puback')).toHaveLength(2);
  await writeFile(gate, '');
  await thief.live.closed;
  expect(await thief.member.connect()).toBeNull();
  await expect.poll(() => disconnected(thief.device), WITHIN).toEqual(['service done']);
  // Nobody else noticed.
  await report(other, 0);
  await expect.poll(() => lastSequence(other.device), WITHIN).toBe(0);
}, 180_000);

test('a retired device loses its connection and does not come back', async () => {
  const { member, live, device } = await connected();
  await paddock('devices', 'retire', device);
  await live.closed;
  expect(await member.connect()).toBeNull();
  expect(cloud.mosquitto.log()).toContain(`Client ${device} already connected, closing old connection`);
}, 180_000);
