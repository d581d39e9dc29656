import { readFile, rm, truncate } from 'node:fs/promises';
import { formatMetadata } from '@paddock/cloud/tuf/formats.ts';
import { newSnapshot } from '@paddock/cloud/tuf/online.ts';
import { nextTargets, type ReleaseId } from '@paddock/cloud/tuf/targets.ts';
import { firmwareRoot } from '@paddock/cloud/firmware/metadata-store.ts';
import { layOut } from '@paddock/cloud/firmware/lay-out.ts';
import { TIMESTAMP } from '@paddock/cloud/firmware/paths.ts';
import { addUpload, readRelease } from '@paddock/cloud/firmware/releases.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import {
  dropBundles,
  makeBundle,
  newSigner,
  Operators,
  signed,
  testFirmware,
  type TestBundle,
  type TestFirmware,
} from '../../../harness/firmware.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';

const FIRMWARE = '/api/v1/firmware';
let database: FreshDatabase;
let repository: TestFirmware;
let http: TestHttp;
let operators: Operators;
const bundles: TestBundle[] = [];

beforeAll(async () => {
  database = await freshDatabase();
  repository = await testFirmware(database.store);
  http = await startHttp(database.store, { firmware: repository.firmware });
  operators = new Operators();
});
afterAll(async () => {
  await http.close();
  await database.drop();
  await dropBundles(bundles);
  await rm(repository.dataDir, { recursive: true });
});

async function bundleOf(...args: Parameters<typeof makeBundle>): Promise<TestBundle> {
  const bundle = await makeBundle(...args);
  bundles.push(bundle);
  return bundle;
}

/** The last thing that the service tells of an upload. */
async function upload(file: string, token = http.operator): Promise<Record<string, unknown>> {
  const response = await fetch(`${http.url}${FIRMWARE}/bundles`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' },
    body: await readFile(file),
  });
  const lines = (await response.text()).trim().split('\n');
  return JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>;
}
const publish = async (targets: Parameters<typeof formatMetadata>[0], withdraw?: readonly ReleaseId[]) => {
  const { status, body } = await http.call('POST', `${FIRMWARE}/targets`, {
    body: { targets: formatMetadata(targets), ...(withdraw && { withdraw }) },
  });
  return [status, body['code'] ?? body];
};
const install = async (...roots: Parameters<typeof formatMetadata>[0][]) => {
  const { status, body } = await http.call('POST', `${FIRMWARE}/roots`, { body: { roots: roots.map(formatMetadata) } });
  return [status, body['code'] ?? body['version']];
};

test('the first root is taken when enough of its own keys signed it and it names the keys of the service', async () => {
  const unsigned = await operators.sign(repository, {});
  expect(await publish(unsigned)).toEqual([404, 'firmware_root_missing']);
  const root = await operators.first(repository);
  expect(await install({ ...root, signatures: root.signatures.slice(0, 1) })).toEqual([409, 'metadata_unsigned']);
  const stranger = operators.next(
    { online: { snapshot: newSigner().key, timestamp: newSigner().key } },
    repository.now,
  );
  operators.roots.pop();
  const asFirst = signed({ ...stranger, signed: { ...stranger.signed, version: 1 } }, operators.root.slice(0, 2));
  expect(await install({ ...asFirst, signatures: asFirst.signatures.slice(-2) })).toEqual([409, 'online_key_foreign']);
  expect(await install({ ...asFirst, signed: { ...asFirst.signed, version: 2 } })).toEqual([
    409,
    'metadata_out_of_step',
  ]);
  expect(await install(root)).toEqual([201, 1]);
  expect(repository.told.roots).toBe(1);
  expect(await firmwareRoot(database.store)).toMatchObject({ version: 1 });
});

test('a release needs its bundle, two keys of two people, and the counter that comes next', async () => {
  const [one, two] = [await bundleOf(1), await bundleOf(2)];
  expect(await publish(await operators.sign(repository, { add: [two] }))).toEqual([409, 'bundle_missing']);
  expect(await upload(two.file)).toMatchObject({ kind: 'done', release: { state: 'uploaded', counter: 2 } });
  expect(await readRelease(database.store, 'kiosk', 2)).toBeNull();
  const [first, second] = operators.targets;
  const half = await operators.sign(repository, { add: [two] }, [first ?? newSigner()]);
  expect(await publish(half)).toEqual([409, 'metadata_unsigned']);
  // Two signatures of one key are one, and a stranger's counts for nothing.
  expect(await publish(signed(half, [newSigner()]))).toEqual([409, 'metadata_unsigned']);
  expect(await publish({ ...half, signatures: [...half.signatures, ...half.signatures] })).toEqual([
    400,
    'metadata_malformed',
  ]);
  expect(await publish(signed(half, [second ?? newSigner()]))).toMatchObject([
    201,
    { released: [{ name: 'kiosk', counter: 2 }], withdrawn: [] },
  ]);
  expect(await readRelease(database.store, 'kiosk', 2)).toMatchObject({ sha256: two.sha256, models: ['cp-1'] });
  expect(await readRelease(database.store, 'kiosk', '1.2.0')).toMatchObject({ counter: 2, withdrawn: false });

  await upload(one.file);
  const older = await operators.sign(repository, {});
  const target = nextTargets(null, { add: [one] }, repository.now).signed.targets;
  const backwards = { ...older, signed: { ...older.signed, targets: { ...older.signed.targets, ...target } } };
  expect(await publish(signed(backwards, operators.targets.slice(0, 2)))).toEqual([409, 'release_counter']);
});

test('what was published is never another thing, and a withdrawn counter never comes back', async () => {
  const other = await bundleOf(2, { text: 'another content\n' });
  expect(await upload(other.file)).toMatchObject({ kind: 'failed', code: 'release_exists' });
  const two = bundles.find(({ manifest }) => manifest.counter === 2) ?? other;
  expect(await upload(two.file)).toMatchObject({ kind: 'done' });
  // Under the lock it is looked at again: it may have been published while the upload was checked.
  const taken = database.store.transaction((sql) => addUpload(sql, { ...other, bundleBytes: 1 }, repository.now));
  await expect(taken).rejects.toMatchObject({ code: 'release_exists' });
  const before = await operators.sign(repository, {});
  const changed = structuredClone(before.signed);
  const [path = ''] = Object.keys(changed.targets);
  Object.assign(changed.targets[path] ?? {}, { hashes: { sha256: other.sha256 } });
  const forged = signed({ signatures: [], signed: changed }, operators.targets.slice(0, 2));
  expect(await publish(forged)).toEqual([409, 'release_exists']);

  const three = await bundleOf(3, { model: 'cp-2' });
  await upload(three.file);
  const lied = { ...three, manifest: { ...three.manifest, models: ['cp-1'] } };
  expect(await publish(await operators.sign(repository, { add: [lied] }))).toEqual([409, 'bundle_differs']);

  const without = await operators.sign(repository, { withdraw: [two.manifest] });
  const gone = { name: 'kiosk', counter: 2 };
  // Left out, and nobody said so: they may have been made before it was published.
  expect(await publish(without)).toEqual([409, 'release_left_out']);
  expect(await publish(without, [{ ...gone, counter: 1 }])).toEqual([409, 'release_left_out']);
  expect(await publish(without, [gone, { ...gone, counter: 7 }])).toEqual([404, 'release_unknown']);
  expect(await publish(before, [gone])).toEqual([409, 'release_kept']);
  expect(await readRelease(database.store, 'kiosk', 2)).toMatchObject({ withdrawn: false });
  expect(await publish(without, [gone])).toMatchObject([201, { released: [], withdrawn: [{ counter: 2 }] }]);
  expect(await publish(without, [gone])).toEqual([409, 'metadata_out_of_step']);
  expect(await readRelease(database.store, 'kiosk', 2)).toMatchObject({ withdrawn: true });
  expect(await publish(await operators.sign(repository, { add: [two] }))).toEqual([409, 'release_counter']);
  const list = await http.call('GET', '/api/v1/releases?limit=2');
  expect(list.items.map(({ counter, state }) => [counter, state])).toEqual([
    [3, 'uploaded'],
    [2, 'withdrawn'],
  ]);
  const rest = await http.call('GET', `/api/v1/releases?limit=2&cursor=${String(list.body['next'])}`);
  expect([rest.items.length, rest.body['next']]).toEqual([1, null]);
  expect((await http.call('GET', '/api/v1/releases/kiosk/9')).body['code']).toBe('release_unknown');
});

test('metadata that would leave devices without are not taken', async () => {
  const soon = await operators.sign({ ...repository, now: repository.now }, {});
  repository.advance(89.5);
  expect(await publish(soon)).toEqual([409, 'metadata_expired']);
  repository.advance(-89.5);
  const root = operators.next({}, repository.now);
  const skipped = operators.next({}, repository.now);
  expect(await install(skipped)).toEqual([409, 'metadata_out_of_step']);
  const strangers = [newSigner(), newSigner()];
  const own = signed(
    {
      signatures: [],
      signed: {
        ...root.signed,
        roles: { ...root.signed.roles, root: { keyids: strangers.map(({ keyId }) => keyId), threshold: 2 } },
        keys: { ...root.signed.keys, ...Object.fromEntries(strangers.map(({ keyId, key }) => [keyId, key])) },
      },
    },
    strangers,
  );
  expect(await install(own)).toEqual([409, 'metadata_unsigned']);
  repository.advance(364.5);
  expect(await install(root)).toEqual([409, 'metadata_expired']);
  repository.advance(-364.5);
  expect(await install(root, skipped)).toEqual([201, 3]);
});

test('an archive that is cut, or none, is refused with its code, and nothing of it stays', async () => {
  const cut = await bundleOf(7);
  await truncate(cut.file, 3_000);
  expect(await upload(cut.file)).toMatchObject({ kind: 'failed', code: 'bundle_truncated' });
  expect((await http.call('GET', '/api/v1/releases/kiosk/7')).status).toBe(404);
  const asJson = await http.call('POST', `${FIRMWARE}/bundles`, { body: {} });
  expect([asJson.status, asJson.body['code']]).toEqual([415, 'media_type_unsupported']);
});

test('only tokens that reach every customer sign, and every token reads which releases there are', async () => {
  const token = await http.tokenOf('acme');
  for (const [method, path] of [
    ['GET', FIRMWARE],
    ['POST', `${FIRMWARE}/online-keys`],
  ] as const)
    expect((await http.call(method, path, { token })).body['code']).toBe('scope_forbidden');
  expect((await http.call('GET', '/api/v1/releases', { token })).status).toBe(200);
  const { body } = await http.call('GET', FIRMWARE);
  expect(body).toMatchObject({ standing: { root: { version: 3 } }, onlineKeys: { snapshot: { keytype: 'ed25519' } } });
});

test('files are written in an order that names none before it lies there', async () => {
  const written: string[] = [];
  await layOut(database.store, {
    ...repository.files,
    has: async () => false,
    open: async () => null,
    put: async (path) => void written.push(path),
  });
  expect(written.slice(-3)).toEqual([
    expect.stringMatching(/^metadata\/\d+\.targets\.json$/),
    expect.stringMatching(/^metadata\/\d+\.snapshot\.json$/),
    TIMESTAMP,
  ]);
});

test('metadata that people signed are never changed, past the service either', async () => {
  await expect(database.store.query("DELETE FROM firmware_metadata WHERE role = 'root'")).rejects.toThrow('refused');
  await expect(database.store.query("UPDATE releases SET version = '9'")).rejects.toThrow('needs an actor');
  // A snapshot by the key of another role is made anew.
  const { root, targets, snapshot } = await repository.firmware.state();
  if (root === null || targets === null) return expect.fail('nothing is published');
  const [wrong] = repository.online.timestamp;
  const forged = newSnapshot(targets, snapshot, repository.now, wrong ?? newSigner());
  await database.store.query("INSERT INTO firmware_metadata (role, version, metadata) VALUES ('snapshot', $1, $2)", [
    forged.signed.version,
    formatMetadata(forged),
  ]);
  await repository.firmware.renew(database.store, repository.now);
  const after = (await repository.firmware.state()).snapshot;
  expect(after?.signed.version).toBeGreaterThan(forged.signed.version);
  expect(after?.signatures[0]?.keyid).toBe(repository.online.snapshot[0]?.keyId);
});
