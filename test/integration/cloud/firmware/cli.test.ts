import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { openTuf } from '@paddock/agent/tuf/tuf.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { startCloudProcess, type CloudProcess } from '../../../harness/cloud-process.ts';
import { dropBundles, makeBundle, repositoryAt, type TestBundle } from '../../../harness/firmware.ts';

const PROGRAM = join(import.meta.dirname, '../../../../cloud/bin/paddock.cjs');
const exec = promisify(execFile);

let cloud: CloudProcess;
let work: string;
let bundle: TestBundle;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'paddock-ceremony-'));
  await writeFile(join(work, 'passphrase.txt'), 'correct horse battery\n');
  [cloud, bundle] = [await startCloudProcess(), await makeBundle(1)];
});
afterAll(async () => {
  await cloud.stop();
  await dropBundles([bundle]);
  await rm(work, { recursive: true });
});

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One run of the program, where people keep their keys. */
async function paddock(...args: string[]): Promise<Told> {
  const at = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  try {
    const { stdout, stderr } = await exec(process.execPath, [PROGRAM, ...args, ...at], { cwd: work });
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, out: stdout, err: stderr };
  }
}
const json = async (...args: string[]): Promise<Record<string, unknown>> => {
  const { code, out, err } = await paddock(...args, '--json');
  expect([code, err]).toEqual([0, expect.any(String)]);
  return JSON.parse(out) as Record<string, unknown>;
};
const PASS = ['--passphrase-file', 'passphrase.txt'];
const keyFiles = async (role: string): Promise<string[]> =>
  (await readdir(join(work, 'keys'))).filter((name) => name.startsWith(role)).map((name) => join('keys', name));
const codeIn = ({ err }: Told): unknown => (JSON.parse(err) as { error: { code: unknown } }).error.code;

test('a ceremony, a release that two people sign, and what devices then find', async () => {
  const online = await paddock('keys', 'online');
  await writeFile(join(work, 'online.json'), online.out);
  const made = await paddock('keys', 'init', 'keys', '--online', 'online.json', ...PASS);
  expect([made.code, made.out]).toEqual([0, expect.stringContaining('6 keys')]);
  expect(codeIn(await paddock('keys', 'init', 'keys', ...PASS, '--json'))).toBe('firmware_root_exists');
  for (const file of await keyFiles('root')) {
    expect((await stat(join(work, file))).mode & 0o077).toBe(0);
    expect(await readFile(join(work, file), 'utf8')).toContain('ENCRYPTED PRIVATE KEY');
  }
  expect((await paddock('keys', 'install', 'keys/1.root.json')).out).toContain('installed root 1');
  const lists = await cloud.call('GET', '/key-lists');
  expect(lists.body['items']).toMatchObject([{ firmwareRoot: 1 }, { firmwareRoot: null }]);

  const [anna = '', berta = '', carla = ''] = await keyFiles('targets');
  const [rootKey = ''] = await keyFiles('root');
  const foreign = await paddock('release', 'sign', bundle.file, '--key', rootKey, ...PASS, '--json');
  expect([foreign.code, codeIn(foreign)]).toEqual([1, 'key_unlisted']);
  const drafted = await json('release', 'sign', bundle.file, '--key', anna, ...PASS, '--out', 'next.targets.json');
  expect(drafted).toMatchObject({ file: 'next.targets.json', complete: false });
  const early = await paddock('release', 'publish', 'next.targets.json', bundle.file, '--json');
  expect([early.code, codeIn(early)]).toEqual([1, 'metadata_unsigned']);
  // Nothing was sent for that.
  expect(await json('release', 'list')).toEqual([]);
  // On another machine, where there is no service: the newest root comes along.
  const second = await paddock(
    'release',
    'add-signature',
    'next.targets.json',
    '--key',
    berta,
    '--root',
    'keys/1.root.json',
    ...PASS,
  );
  expect(second.out).toContain('signed by all who have to');
  const published = await paddock('release', 'publish', 'next.targets.json', bundle.file);
  expect([published.out, published.err]).toEqual([
    expect.stringContaining('released kiosk 1.1.0 (counter 1)'),
    expect.stringContaining('with everything'),
  ]);
  expect((await paddock('release', 'list')).out).toMatch(/kiosk +1 +1\.1\.0 +published/);
  expect(await json('release', 'show', 'kiosk', '1')).toMatchObject({ sha256: bundle.sha256 });

  const found = await manifestByDevice();
  expect(found.counter).toBe(1);

  const withdrawn = await json(
    'release',
    'withdraw',
    'kiosk',
    '1',
    '--key',
    anna,
    carla,
    ...PASS,
    '--out',
    'w.targets.json',
  );
  expect(withdrawn).toMatchObject({ complete: true });
  const unsaid = await paddock('release', 'publish', 'w.targets.json', '--json');
  expect([unsaid.code, codeIn(unsaid)]).toEqual([1, 'release_left_out']);
  expect((await paddock('release', 'publish', 'w.targets.json', '--withdraw')).out).toContain('withdrawn kiosk 1.1.0');
  const twice = await paddock('release', 'publish', 'w.targets.json');
  expect([twice.code, twice.err]).toEqual([1, expect.stringContaining('are published already')]);
  await expect(manifestByDevice()).rejects.toMatchObject({ code: 'tuf_target_unknown' });

  const exported = await json('release', 'export', 'www');
  expect(exported['copied']).toBeGreaterThan(4);
  expect(await readdir(join(work, 'www', 'metadata'))).toContain('timestamp.json');
});

test('a stolen key is revoked by a root that the others sign, one after the other', async () => {
  const [stolen = '', berta = '', carla = ''] = await keyFiles('targets');
  const [one = '', two = ''] = await keyFiles('root');
  const id = /-([0-9a-f]{12})\./.exec(basename(stolen))?.[1] ?? '';
  const drafted = await json('keys', 'rotate', 'keys', id, '--key', one, ...PASS);
  expect(drafted).toMatchObject({ complete: false, file: join('keys', '2.root.json') });
  expect((await paddock('keys', 'list', 'keys')).out).toContain('draft: 1 of 2 by root 1');
  const early = await paddock('keys', 'install', 'keys/2.root.json', '--json');
  expect([early.code, codeIn(early)]).toEqual([1, 'metadata_unsigned']);
  // Another change goes into the same root, and makes the signature void.
  await writeFile(join(work, 'o.json'), (await paddock('keys', 'online', '--new')).out);
  expect(await json('keys', 'rotate', 'keys', '--online', 'o.json', '--key', one, ...PASS)).toMatchObject({
    complete: false,
  });
  expect((await paddock('keys', 'sign', 'keys/2.root.json', '--key', two, ...PASS)).out).toContain('all who have to');
  const args = ['--root', 'keys/2.root.json', '--key', berta, carla, ...PASS, '--out', 'r.targets.json'];
  expect(await json('release', 'renew', ...args)).toMatchObject({ complete: true });
  const refused = await paddock('release', 'renew', '--root', 'keys/2.root.json', '--key', stolen, ...PASS, '--json');
  expect(codeIn(refused)).toBe('key_unlisted');
  const installed = await json('keys', 'install', 'keys/2.root.json', '--targets', 'r.targets.json');
  expect(installed).toMatchObject({ version: 2 });
  expect(await deviceVersions()).toMatchObject({ root: 2 });
  expect((await paddock('keys', 'list')).out).not.toContain(id);
});

test('what cannot be is told before anything is written', async () => {
  const [key = ''] = await keyFiles('root');
  await writeFile(join(work, 'short.txt'), 'short\n');
  await writeFile(join(work, 'wrong.txt'), 'not the passphrase\n');
  const told = await Promise.all(
    [
      ['keys', 'init', 'other', '--root-threshold', '4', ...PASS],
      ['keys', 'new', 'other', '--role', 'root', '--passphrase-file', 'short.txt'],
      ['keys', 'renew', 'keys', '--key', key, '--passphrase-file', 'wrong.txt'],
      ['keys', 'renew', 'keys', '--key', 'nothing.pem', ...PASS],
      ['keys', 'renew', 'keys', '--key', key],
      ['release', 'publish', bundle.file],
    ].map(async (args) => codeIn(await paddock(...args, '--json'))),
  );
  expect(told).toEqual([
    'firmware_root_invalid',
    'passphrase_weak',
    'role_key_unreadable',
    'role_key_missing',
    'role_key_unasked',
    'metadata_malformed',
  ]);
  const roots = (await readdir(join(work, 'keys'))).filter((name) => name.endsWith('.root.json'));
  expect(roots).toEqual(['1.root.json', '2.root.json']);
});

async function device() {
  const { body } = await cloud.call('GET', '/key-lists');
  const sealed = (body['items'] as { firmwareRoot: number }[])[0];
  const { body: firmware } = await cloud.call('GET', '/firmware');
  const { root } = firmware['standing'] as { root: { version: number; sha256: string } };
  expect(sealed?.firmwareRoot).toBe(root.version);
  const ca = await readFile(join(cloud.dataDir, 'ca.cert.pem'), 'utf8');
  const now = wallMs(Date.now());
  const tuf = await openTuf({
    disk: new MemoryDisk(),
    repository: repositoryAt({ url: cloud.enrolUrl, ca }),
    time: () => ({ earliest: now, latest: now }),
    firstRoot: () => root,
    log: { debug() {}, info() {}, warn() {}, error() {} },
  });
  const signal = AbortSignal.timeout(30_000);
  return { tuf, versions: await tuf.refresh(signal), signal };
}
const deviceVersions = async () => (await device()).versions;
async function manifestByDevice() {
  const { tuf, signal } = await device();
  return (await tuf.manifestOf({ name: 'kiosk', counter: 1, sha256: bundle.sha256 }, signal)).manifest;
}
