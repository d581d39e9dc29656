import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyRepository } from '@paddock/cloud/adapters/repository-copy.ts';
import { repositoryFiles } from '@paddock/cloud/adapters/repository-files.ts';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { fetchFile } from '../../../harness/firmware.ts';

const PACK = `packs/${'a'.repeat(64)}/all.pack`;
const LINK = `packs/${'b'.repeat(64)}/all.pack`;
/** More than lies in the buffers of a connection. */
const LARGE = `packs/${'c'.repeat(64)}/all.pack`;
const content = Uint8Array.from({ length: 200_000 }, (_, at) => at % 251);

let database: FreshDatabase;
let server: EnrolServer;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'paddock-files-'));
  const files = repositoryFiles(join(directory, 'firmware'));
  await files.put(PACK, content);
  await files.put(LARGE, new Uint8Array(30_000_000));
  await files.put('metadata/timestamp.json', new TextEncoder().encode('{}'));
  await writeFile(join(directory, 'secret.pem'), 'a secret');
  await mkdir(join(directory, 'firmware', LINK, '..'));
  await symlink(join(directory, 'secret.pem'), join(directory, 'firmware', LINK));
  database = await freshDatabase();
  server = await startEnrolment(database.store, {}, undefined, {}, files);
});
afterAll(async () => {
  await server.close();
  await database.drop();
  await rm(directory, { recursive: true });
});

const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  fetchFile({ url: server.url, ca: server.authority.certificatePem }, path, headers, method);

test('a file comes whole, with its length and what it is known by', async () => {
  const { status, headers, bytes } = await get(PACK);
  expect([status, bytes]).toEqual([200, content]);
  expect(headers).toMatchObject({
    'content-length': String(content.length),
    'accept-ranges': 'bytes',
    'cache-control': expect.stringContaining('immutable'),
    etag: expect.stringMatching(/^"[^"]+"$/),
    'last-modified': expect.stringContaining('GMT'),
  });
  const again = await get(PACK, { 'if-none-match': headers['etag'] ?? '' });
  expect([again.status, again.bytes.length]).toEqual([304, 0]);
  const head = await get(PACK, {}, 'HEAD');
  expect([head.status, head.headers['content-length'], head.bytes.length]).toEqual([200, String(content.length), 0]);
  expect((await get('metadata/timestamp.json')).headers['cache-control']).toBe('no-cache');
});

test.each([
  ['bytes=0-0', 0, 1],
  ['bytes=100-199', 100, 200],
  ['bytes=199990-', 199_990, 200_000],
  ['bytes=-5', 199_995, 200_000],
  ['bytes=199999-999999999', 199_999, 200_000],
])('of %s comes that part', async (range, from, end) => {
  const { status, headers, bytes } = await get(PACK, { range });
  expect([status, bytes]).toEqual([206, content.slice(from, end)]);
  expect(headers['content-range']).toBe(`bytes ${from}-${end - 1}/${content.length}`);
  expect(headers['content-length']).toBe(String(end - from));
});

test('what is beyond the end is not there, and what is no single range is the whole', async () => {
  const beyond = await get(PACK, { range: 'bytes=200000-' });
  expect([beyond.status, beyond.headers['content-range']]).toEqual([416, 'bytes */200000']);
  for (const range of ['bytes=5-1', 'bytes=0-1,5-6', 'lines=1-2', 'bytes=-'])
    expect([range, (await get(PACK, { range })).status]).toEqual([range, 200]);
  // Another file by now than the one that was begun: all of it.
  expect((await get(PACK, { range: 'bytes=1-2', 'if-range': '"another"' })).status).toBe(200);
  const { etag = '' } = (await get(PACK)).headers;
  expect((await get(PACK, { range: 'bytes=1-2', 'if-range': etag })).status).toBe(206);
});

test.each([
  '',
  'metadata',
  'metadata/',
  'packs/',
  '../secret.pem',
  '..%2fsecret.pem',
  '%2e%2e/secret.pem',
  'metadata/../../secret.pem',
  `packs/${'a'.repeat(64)}/..%2f..%2f..%2fsecret.pem`,
  'metadata/0.root.json',
  'metadata/1.root.json%00',
  PACK.toUpperCase(),
  LINK,
])('nothing is found at %j', async (path) => {
  const { status, bytes } = await get(path);
  expect([status, new TextDecoder().decode(bytes)]).toEqual([404, expect.not.stringContaining('a secret')]);
});

test('nobody writes there', async () => {
  for (const method of ['PUT', 'POST', 'DELETE']) expect((await get(PACK, {}, method)).status).toBe(404);
});

test('clients that go away in the middle leave nothing open, and the next one is served', async () => {
  const before = await openFiles();
  await Promise.all(Array.from({ length: 20 }, () => goAwayIn(LARGE)));
  await vi.waitFor(async () => expect(await openFiles()).toBeLessThanOrEqual(before + 2), { timeout: 10_000 });
  expect((await get(PACK)).bytes.length).toBe(content.length);
});

const openFiles = async (): Promise<number> => (await readdir('/proc/self/fd')).length;

/** Reads the first bytes of an answer, and closes. */
const goAwayIn = (path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    const options = { ca: server.authority.certificatePem, agent: false };
    const asking = request(`${server.url}/firmware/${path}`, options, (response) => {
      response.once('data', () => {
        response.destroy();
        resolve();
      });
      response.on('error', () => undefined);
    });
    asking.on('error', reject);
    asking.end();
  });

test('a copy for a web server has everything, and is written with the timestamp last', async () => {
  const to = join(directory, 'www');
  const told: string[] = [];
  expect(await copyRepository(join(directory, 'firmware'), to, (path) => told.push(path))).toBe(3);
  expect(told).toEqual([PACK, LARGE, 'metadata/timestamp.json']);
  const again: string[] = [];
  await copyRepository(join(directory, 'firmware'), to, (path) => again.push(path));
  expect(again).toEqual(['metadata/timestamp.json']);
  expect(await copyRepository(join(directory, 'nothing'), to, () => undefined)).toBeNull();
});
