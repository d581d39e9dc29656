import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openTuf } from '@paddock/agent/tuf/tuf.ts';
import { formatMetadata, parseTargets, type Metadata } from '@paddock/cloud/tuf/formats.ts';
import { newRoot, type OnlineKeys } from '@paddock/cloud/tuf/root.ts';
import { nextTargets } from '@paddock/cloud/tuf/targets.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { MemoryDisk } from '../harness/agent/memory-disk.ts';
import { startCloudProcess, type CloudProcess } from '../harness/cloud-process.ts';
import { TestDevice } from '../harness/device.ts';
import { dropBundles, makeBundle, newSigner, repositoryAt, signed, type TestBundle } from '../harness/firmware.ts';
import { makeTestKey } from '../harness/signing.ts';

const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const DEVICE = 'kiosk-drill';
const ROOT = [newSigner(), newSigner()];
const TARGETS = [newSigner(), newSigner()];

let home: string;
let cloud: CloudProcess;
let bundles: [TestBundle, TestBundle];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-firmware-drill-'));
  bundles = [await makeBundle(1), await makeBundle(2)];
  cloud = await startCloudProcess();
});
afterEach(async () => {
  await cloud.stop();
  await dropBundles(bundles);
  await rm(home, { recursive: true });
});

async function paddock(...args: string[]): Promise<Record<string, unknown>> {
  const env = { ...process.env, PADDOCK_BACKUP_PASSPHRASE: 'correct horse battery' };
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...args, '--json'], { env });
  return JSON.parse(stdout) as Record<string, unknown>;
}

async function done(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const answer = await cloud.call(method, path, body);
  expect([answer.status, answer.body]).toEqual([expect.toSatisfy((status: number) => status < 300), answer.body]);
  return answer.body;
}

async function upload({ file }: TestBundle): Promise<void> {
  const token = (await readFile(join(cloud.dataDir, 'operator.token'), 'utf8')).trim();
  const answer = await fetch(`${cloud.httpUrl}/api/v1/firmware/bundles`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' },
    body: await readFile(file),
  });
  expect(await answer.text()).toContain('"done"');
}

/** Releases a bundle beside those that are published. @returns what people signed */
async function release(bundle: TestBundle): Promise<Metadata<'targets'>> {
  await upload(bundle);
  const { targets: published } = await done('GET', '/firmware');
  const before = typeof published === 'string' ? parseTargets(published) : null;
  const targets = signed(nextTargets(before, { add: [bundle] }, wallMs(Date.now())), TARGETS);
  await done('POST', '/firmware/targets', { targets: formatMetadata(targets) });
  return targets;
}

async function installRoot(): Promise<void> {
  const online = (await done('GET', '/firmware'))['onlineKeys'] as OnlineKeys;
  const of = (signers: typeof ROOT) => ({ keys: signers.map(({ key }) => key), threshold: 2 });
  const root = signed(newRoot({ root: of(ROOT), targets: of(TARGETS), online }, wallMs(Date.now())), ROOT);
  await done('POST', '/firmware/roots', { roots: [formatMetadata(root)] });
}

/** What a device keeps of metadata, wherever the service is. */
const trust = new MemoryDisk();
async function metadata(): Promise<Awaited<ReturnType<typeof openTuf>>> {
  const { standing } = await done('GET', '/firmware');
  const { root } = standing as { root: { version: number; sha256: string } };
  const ca = await readFile(join(cloud.dataDir, 'ca.cert.pem'), 'utf8');
  const now = wallMs(Date.now());
  return openTuf({
    disk: trust,
    repository: repositoryAt({ url: cloud.enrolUrl, ca }),
    time: () => ({ earliest: now, latest: now }),
    firstRoot: () => root,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
}
const refreshed = async () => (await metadata()).refresh(AbortSignal.timeout(30_000));

let sequence = 0;
/** A report of a device that runs a release and holds desired state. */
async function reports(device: TestDevice, { manifest, sha256 }: TestBundle, held: { epoch: number; version: number }) {
  sequence += 1;
  const { name, version, counter } = manifest;
  const ask = `nonce-${sequence}`.padEnd(22, 'A');
  await device.report({
    sequence,
    ask,
    uptimeMs: 60_000 + sequence * 1_000,
    desired: held,
    firmware: {
      status: 'Idle',
      state: 'idle',
      slot: 'a',
      running: { name, version, counter, sha256 },
      committed: true,
    },
  });
  await device.answer(({ nonce }) => nonce === ask);
}
const stateIn = async (assignmentId: unknown): Promise<unknown> => {
  const { items } = await done('GET', `/assignments/${String(assignmentId)}/devices`);
  return (items as { state: string }[])[0]?.state;
};

it('a service with releases and assignments is restored, and its devices go on', { timeout: 480_000 }, async () => {
  const [one, two] = bundles;
  const { keys } = await done('GET', '/cloud-keys');
  const [jwk] = keys as VerificationKey['jwk'][];
  const pinned = { ...(await makeTestKey()), verification: await importVerificationKey(jwk ?? {}) };
  const device = new TestDevice(DEVICE, await makeTestKey(), pinned);
  await done('POST', '/models', { modelId: 'cp-1', manufacturer: 'M', name: 'One' });
  await done('POST', '/devices', { deviceId: DEVICE, publicKey: device.key.publicJwk, modelId: 'cp-1' });
  await installRoot();
  await release(one);
  await device.connect(cloud.mqttUrl);
  await reports(device, one, { epoch: 0, version: 0 });
  const { assignmentId } = await done('POST', '/assignments', {
    release: { name: 'kiosk', counter: 1 },
    devices: [DEVICE],
  });
  const held = await device.desires(({ state }) => state['firmware'] !== undefined);
  await reports(device, one, held);
  await expect.poll(() => stateIn(assignmentId), { timeout: 30_000 }).toBe('updated');
  await refreshed();

  const file = join(home, 'drill.backup');
  await paddock('backup', file, '--data-dir', cloud.dataDir);

  // Lost with the machine: a release that the device has seen, and runs.
  const lost = await release(two);
  const seen = await refreshed();
  const later = await done('POST', '/assignments', { release: { name: 'kiosk', counter: 2 }, devices: [DEVICE] });
  const newer = await device.desires(({ version }) => version > held.version);
  await reports(device, two, newer);
  await expect.poll(() => stateIn(later['assignmentId']), { timeout: 30_000 }).toBe('updated');
  await device.close();
  await cloud.destroy();
  const dataDir = join(home, 'restored');
  const { epoch } = await paddock('restore', file, '--data-dir', dataDir);
  cloud = await startCloudProcess({}, undefined, dataDir);

  // Releases and assignments are as they were. The device refuses targets that are older than those it has seen.
  const { items: releases } = await done('GET', '/releases');
  expect(releases).toMatchObject([{ counter: 1, state: 'published' }]);
  await expect(refreshed()).rejects.toMatchObject({ code: 'tuf_version_rollback' });
  // It is told, in the new epoch, what the restored service knows; what it says is seen, and history goes on.
  await device.connect(cloud.mqttUrl);
  await reports(device, two, newer);
  const again = await device.desires((desired) => desired.epoch === epoch);
  expect(again.state['firmware']).toMatchObject({ counter: 1 });
  await expect.poll(() => stateIn(assignmentId), { timeout: 30_000 }).toBe('failed');
  const { items: history } = await done('GET', `/devices/${DEVICE}/firmware/history`);
  expect(history).toMatchObject([{ running: { counter: 2, published: false } }, { running: { counter: 1 } }]);

  // The files that were published since are brought again: everything is above what the device has seen.
  await upload(two);
  await done('POST', '/firmware/targets', { targets: formatMetadata(lost) });
  const versions = await refreshed();
  expect(versions.timestamp ?? 0).toBeGreaterThan(seen.timestamp ?? 0);
  expect(versions.snapshot ?? 0).toBeGreaterThan(seen.snapshot ?? 0);
  expect(versions.targets).toBe(seen.targets);
  const { manifest } = await (
    await metadata()
  ).manifestOf({ name: 'kiosk', counter: 2, sha256: two.sha256 }, AbortSignal.timeout(30_000));
  expect(manifest.counter).toBe(2);
  const repeated = await done('POST', '/assignments', { release: { name: 'kiosk', counter: 2 }, devices: [DEVICE] });
  const wanted = await device.desires(({ state, epoch: of }) => of === epoch && isOf(state['firmware'], 2));
  await reports(device, two, wanted);
  await expect.poll(() => stateIn(repeated['assignmentId']), { timeout: 30_000 }).toBe('updated');
  await device.close();
});

const isOf = (firmware: unknown, counter: number): boolean =>
  typeof firmware === 'object' && firmware !== null && 'counter' in firmware && firmware.counter === counter;
