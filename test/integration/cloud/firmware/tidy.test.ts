import { createReadStream } from 'node:fs';
import { readdir, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readRelease, releaseAt } from '@paddock/cloud/firmware/releases.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import {
  dropBundles,
  makeBundle,
  Operators,
  testFirmware,
  type TestBundle,
  type TestFirmware,
} from '../../../harness/firmware.ts';

const DAY_MS = 86_400_000;

let database: FreshDatabase;
let repository: TestFirmware;
let operators: Operators;
let bundles: TestBundle[];

beforeAll(async () => {
  database = await freshDatabase();
  repository = await testFirmware(database.store);
  operators = new Operators();
  bundles = [await makeBundle(1), await makeBundle(2)];
  const root = await operators.first(repository);
  await repository.firmware.installRoots('token:test', { roots: [root], targets: null });
});
afterAll(async () => {
  await dropBundles(bundles);
  await rm(repository.dataDir, { recursive: true });
  await database.drop();
});

const upload = async ({ file }: TestBundle): Promise<void> => {
  for await (const { kind } of repository.firmware.upload('token:test', createReadStream(file))) void kind;
};
const namesIn = (directory: string): Promise<string[]> => readdir(join(repository.dataDir, directory));
/** What lies there is so much older than it was. */
async function pass(days: number): Promise<void> {
  for (const directory of ['firmware/metadata', 'firmware/packs', 'bundles'])
    for (const name of await namesIn(directory)) {
      const path = join(repository.dataDir, directory, name);
      const at = new Date((await stat(path)).mtimeMs - days * DAY_MS);
      await utimes(path, at, at);
    }
}
const work = (days: number): Promise<void> =>
  repository.firmware.renew(database.store, wallMs(repository.now + days * DAY_MS));
/** Files are looked at again with each publication. */
async function publish(): Promise<void> {
  repository.advance(1 / 86_400);
  await repository.firmware.publish('token:test', { targets: await operators.sign(repository, {}), withdraw: [] });
}
const snapshots = async (): Promise<string[]> =>
  (await namesIn('firmware/metadata')).filter((name) => name.endsWith('snapshot.json'));

test('what a slow device may still ask for stays, and what was followed long ago goes', async () => {
  const [one, two] = bundles as [TestBundle, TestBundle];
  await upload(one);
  await repository.firmware.publish('token:test', {
    targets: await operators.sign(repository, { add: [one] }),
    withdraw: [],
  });
  await publish();
  const [oldest, ...others] = await snapshots();
  expect(others).toHaveLength(1);
  await pass(7);
  await publish();
  expect(await snapshots()).toContain(oldest);
  await upload(two);
  await writeFile(join(repository.dataDir, 'bundles', 'upload.0123456789ab'), 'broken off');
  await pass(9);
  await publish();
  expect(await snapshots()).not.toContain(oldest);
  expect((await snapshots()).length).toBeGreaterThanOrEqual(2);
  expect(await namesIn('firmware/metadata')).toContain('1.root.json');
  expect((await namesIn('bundles')).toSorted()).toEqual(['kiosk-1.bundle', 'kiosk-2.bundle']);

  // Nobody signs the second one.
  await work(29);
  expect(await releaseAt(database.store, 'kiosk', 2)).not.toBeNull();
  await pass(31);
  await work(31);
  await publish();
  expect(await releaseAt(database.store, 'kiosk', 2)).toBeNull();
  expect(await namesIn('bundles')).toEqual(['kiosk-1.bundle']);
  expect(await namesIn('firmware/packs')).toEqual([one.manifest.index.sha256]);
  expect(await repository.files.has(packPathOf(one.manifest.index.sha256, null))).toBe(true);
  expect(await readRelease(database.store, 'kiosk', 1)).toMatchObject({ state: 'published' });
});

test('packs of what was withdrawn stay as long as another release has the same content', async () => {
  const again = await makeBundle(3, { text: 'release 1\n' });
  bundles.push(again);
  const [one] = bundles as [TestBundle];
  const packs = one.manifest.index.sha256;
  expect(again.manifest.index.sha256).toBe(packs);
  const change = async (targets: Parameters<typeof operators.sign>[1]): Promise<void> => {
    repository.advance(1 / 86_400);
    const signed = await operators.sign(repository, targets);
    await repository.firmware.publish('token:test', { targets: signed, withdraw: targets.withdraw ?? [] });
  };
  await upload(again);
  await change({ add: [again] });
  await change({ withdraw: [one.manifest] });
  expect(await namesIn('firmware/packs')).toContain(packs);
  await change({ withdraw: [again.manifest] });
  expect(await namesIn('firmware/packs')).not.toContain(packs);
});
