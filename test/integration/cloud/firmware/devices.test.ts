import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTuf } from '@paddock/agent/tuf/tuf.ts';
import { formatMetadata } from '@paddock/cloud/tuf/formats.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { Updater } from 'tuf-js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import {
  dropBundles,
  fetchFile,
  makeBundle,
  newSigner,
  Operators,
  repositoryAt,
  testFirmware,
  type TestBundle,
  type TestFirmware,
} from '../../../harness/firmware.ts';
import { codeThrown } from '../../../harness/tuf/client.ts';

const LOG = { debug() {}, info() {}, warn() {}, error() {} };
const signal = AbortSignal.timeout(60_000);

let database: FreshDatabase;
let repository: TestFirmware;
let server: EnrolServer;
let operators: Operators;
let bundles: TestBundle[];

beforeAll(async () => {
  database = await freshDatabase();
  repository = await testFirmware(database.store);
  server = await startEnrolment(database.store, {}, undefined, {}, repository.files);
  operators = new Operators();
  bundles = await Promise.all([1, 2, 3, 4, 5].map((counter) => makeBundle(counter)));
  await repository.firmware.installRoots('test', { roots: [await operators.first(repository)], targets: null });
});
afterAll(async () => {
  await server.close();
  await database.drop();
  await dropBundles(bundles);
  await rm(repository.dataDir, { recursive: true });
});

const door = () => ({ url: server.url, ca: server.authority.certificatePem });

/** A device that began with root 1, or goes on with what is on its disk. */
async function device(disk = new MemoryDisk()) {
  const [root] = operators.roots;
  if (root === undefined) throw new Error('no root');
  const bytes = new TextEncoder().encode(formatMetadata(root));
  const time = () => ({ earliest: wallMs(repository.now), latest: wallMs(repository.now) });
  const tuf = await openTuf({ disk, repository: repositoryAt(door()), time, firstRoot: () => ({ bytes }), log: LOG });
  return { disk, tuf };
}

async function upload(bundle: TestBundle) {
  const events = [];
  async function* content() {
    yield new Uint8Array(await readFile(bundle.file));
  }
  for await (const event of repository.firmware.upload('test', content())) events.push(event);
  return events;
}
async function release(bundle: TestBundle): Promise<void> {
  await upload(bundle);
  await repository.firmware.publish('test', {
    targets: await operators.sign(repository, { add: [bundle] }),
    withdraw: [],
  });
}
const wanted = ({ manifest: { name, counter }, sha256 }: TestBundle) => ({ name, counter, sha256 });
const bundle = (counter: number): TestBundle => bundles[counter - 1] ?? expect.fail('no such bundle');

describe('over the server that devices come to', () => {
  test('a release that was published is genuine to the agent and to tuf-js, and one that was withdrawn is not there', async () => {
    await release(bundle(1));
    const { tuf } = await device();
    await tuf.refresh(signal);
    expect((await tuf.manifestOf(wanted(bundle(1)), signal)).bytes).toEqual(new Uint8Array(bundle(1).manifestBytes));
    const other = await theirs();
    await other.refresh();
    const info = await other.getTargetInfo('kiosk/1.json');
    expect(info?.custom).toEqual({ name: 'kiosk', version: '1.1.0', counter: 1, models: ['cp-1'] });
    const path = await other.downloadTarget(info ?? expect.fail('no target'));
    expect(new Uint8Array(await readFile(path))).toEqual(new Uint8Array(bundle(1).manifestBytes));

    await release(bundle(2));
    const withdraw = [bundle(2).manifest];
    await repository.firmware.publish('test', { targets: await operators.sign(repository, { withdraw }), withdraw });
    await tuf.refresh(signal);
    expect(await codeThrown(tuf.manifestOf(wanted(bundle(2)), signal))).toBe('tuf_target_unknown');
    expect((await tuf.manifestOf(wanted(bundle(1)), signal)).manifest.counter).toBe(1);
    const packs = await readdir(join(repository.dataDir, 'firmware', 'packs'));
    expect(packs).toEqual([bundle(1).manifest.index.sha256]);
  });

  test('keys are rotated over several roots, the online ones too, and a device that slept follows', async () => {
    const asleep = await device();
    await asleep.tuf.refresh(signal);
    const before = asleep.tuf.versions();
    // A key of root, then one of targets, then the keys of the service.
    const [root, targets] = [newSigner(), newSigner()];
    const [, , lostRoot] = operators.root;
    const second = operators.next(
      { add: [{ role: 'root', key: root.key }], revoke: [lostRoot?.keyId ?? ''] },
      repository.now,
    );
    const [stolen] = operators.targets;
    const third = operators.next(
      { add: [{ role: 'targets', key: targets.key }], revoke: [stolen?.keyId ?? ''] },
      repository.now,
    );
    operators.targets = [...operators.targets.slice(1), targets];
    const fourth = operators.next({ online: await repository.firmware.addOnlineKeys() }, repository.now);
    const signedAnew = await operators.sign(repository, {});
    const roots = [second, third, fourth];
    // What is published was signed with the key that was stolen: it has to be signed anew in the same step.
    expect(await codeThrown(repository.firmware.installRoots('test', { roots, targets: null }))).toBe(
      'metadata_unsigned',
    );
    await repository.firmware.installRoots('test', { roots, targets: { targets: signedAnew, withdraw: [] } });
    const { tuf } = await device(asleep.disk);
    expect(await tuf.refresh(signal)).toMatchObject({ root: 4, targets: signedAnew.signed.version });
    expect(tuf.versions()?.timestamp).toBeGreaterThan(before?.timestamp ?? 0);
    expect((await tuf.manifestOf(wanted(bundle(1)), signal)).manifest.counter).toBe(1);
    const other = await theirs();
    await other.refresh();
    expect(await other.getTargetInfo('kiosk/1.json')).toBeDefined();
  });

  test('what the service signs is renewed long before it expires, also when it was off for long', async () => {
    const { tuf } = await device();
    let last = await tuf.refresh(signal);
    // Half a day is more than half of a timestamp; a job runs every few minutes.
    for (let hours = 0; hours < 24 * 10; hours += 12.5) {
      repository.advance(12.5 / 24);
      await renewed();
      const next = await tuf.refresh(signal);
      expect(next.timestamp).toBeGreaterThan(last.timestamp ?? 0);
      last = next;
    }
    repository.advance(30);
    expect(await codeThrown(tuf.refresh(signal))).toBe('tuf_expired');
    await renewed();
    expect((await tuf.refresh(signal)).snapshot).toBeGreaterThan(last.snapshot ?? 0);
    // Nothing is due: nothing is made.
    const { timestamp } = await tuf.refresh(signal);
    await renewed();
    expect((await tuf.refresh(signal)).timestamp).toBe(timestamp);
  });

  test('after a restore from a backup, what is published is above all that devices have seen', async () => {
    const { tuf } = await device();
    repository.advance(0.1);
    await release(bundle(3));
    const before = await tuf.refresh(signal);
    // The database goes back to before the release, and people sign what they have to sign again.
    await database.store.query("DELETE FROM firmware_metadata WHERE role IN ('snapshot', 'timestamp')");
    repository.advance(0.1);
    await renewed();
    const after = await tuf.refresh(signal);
    expect(after.timestamp).toBeGreaterThan(before.timestamp ?? 0);
    expect(after.snapshot).toBeGreaterThan(before.snapshot ?? 0);
  });

  test('packs from the last three releases are there, and a device fetches parts of them', async () => {
    for (const counter of [4, 5]) await release(bundle(counter));
    const indexOf = (counter: number): string => bundle(counter).manifest.index.sha256;
    const there = await readdir(join(repository.dataDir, 'firmware', 'packs', indexOf(5)));
    // The second was withdrawn and still runs on devices.
    const from = [4, 3, 2].map((counter) => `from-${indexOf(counter)}.pack`);
    expect(there.toSorted()).toEqual(['all.pack', ...from].toSorted());
    const archives = await readdir(join(repository.dataDir, 'bundles'));
    expect(archives.toSorted()).toEqual(['kiosk-3.bundle', 'kiosk-4.bundle', 'kiosk-5.bundle']);
    const path = `packs/${indexOf(5)}/all.pack`;
    const whole = await fetchFile(door(), path);
    expect(whole.status).toBe(200);
    expect(new TextDecoder().decode(whole.bytes.subarray(0, 8))).toBe('PDKPACK1');
    const part = await fetchFile(door(), path, { range: 'bytes=8-19' });
    expect([part.status, part.bytes]).toEqual([206, whole.bytes.slice(8, 20)]);
  });
});

/** As the job does it, and what every instance does when it hears of it. */
async function renewed(): Promise<void> {
  await repository.firmware.renew(database.store, repository.now);
  const stop = new AbortController();
  const running = repository.firmware.run(stop.signal);
  stop.abort();
  await running;
}

/** tuf-js, which asks the machine's clock and knows no authority of ours: it comes in over HTTP, and goes on over TLS. */
async function theirs(): Promise<Updater> {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-tuf-'));
  onTestFinished(() => rm(directory, { recursive: true }));
  const [root] = operators.roots;
  await writeFile(join(directory, 'root.json'), root === undefined ? '' : formatMetadata(root));
  const between = createServer((request, response) => {
    void fetchFile(door(), (request.url ?? '').slice(1)).then(({ status, bytes }) =>
      response.writeHead(status).end(bytes),
    );
  });
  await new Promise<void>((resolve) => void between.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void between.close());
  const url = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
  const [metadataBaseUrl, targetBaseUrl] = [`${url}/metadata`, `${url}/targets`];
  return new Updater({ metadataDir: directory, targetDir: directory, metadataBaseUrl, targetBaseUrl });
}
