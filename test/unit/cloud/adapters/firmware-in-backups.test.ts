import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { listDataFiles } from '@paddock/cloud/adapters/backup-files.ts';
import { addFirmwareKeys, loadFirmwareKeys } from '@paddock/cloud/adapters/data-dir/firmware-keys.ts';
import { expect, it, onTestFinished } from 'vitest';

it('a backup carries the repository of firmware, its archives and the keys of the service, and nothing half', async () => {
  const dataDir = await mkdtemp(join(tmpdir(), 'paddock-data-'));
  onTestFinished(() => rm(dataDir, { recursive: true }));
  const files = [
    'bundles/kiosk-1.bundle',
    'firmware/metadata/1.root.json',
    'firmware/metadata/timestamp.json',
    `firmware/packs/${'a'.repeat(64)}/all.pack`,
    `firmware/targets/kiosk/${'b'.repeat(64)}.1.json`,
  ];
  const drafts = ['bundles/upload.0123456789ab', 'firmware/metadata/timestamp.json.0123456789ab'];
  for (const name of [...files, ...drafts]) {
    await mkdir(dirname(join(dataDir, name)), { recursive: true });
    await writeFile(join(dataDir, name), '');
  }
  const first = await loadFirmwareKeys(dataDir);
  expect(await loadFirmwareKeys(dataDir)).toEqual(first);
  const both = await addFirmwareKeys(dataDir);
  expect([both.snapshot.length, both.timestamp[0]]).toEqual([2, first.timestamp[0]]);
  const keys = ['snapshot-2', 'snapshot', 'timestamp-2', 'timestamp'].map((name) => `firmware-${name}.key.pem`);
  expect((await listDataFiles(dataDir)).toSorted()).toEqual([...files, ...keys].toSorted());
});
