import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { join } from 'node:path';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { registerDevice } from '@paddock/cloud/devices/registry.ts';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { startEnrolment, type EnrolServer } from '../../harness/enrolment.ts';
import { startHttp, type TestHttp } from '../../harness/http.ts';
import { openPty } from '../../harness/pty.ts';
import { makeTestKey, type TestKey } from '../../harness/signing.ts';

const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');

let database: FreshDatabase;
let server: EnrolServer;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
  http = await startHttp(database.store);
});
afterAll(async () => {
  await server.close();
  await http.close();
  await database.drop();
});

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One run of the program; with an answer it sits at a terminal, and is given the answer when it asks. */
async function pending(args: readonly string[], answer?: () => Promise<string>): Promise<Told> {
  const pty = answer === undefined ? null : openPty();
  const stdin = pty === null ? null : openSync(pty.path, constants.O_RDWR | constants.O_NOCTTY);
  const child = spawn(process.execPath, [PROGRAM, 'pending', ...args, '--url', http.url, '--token', http.operator], {
    stdio: [stdin ?? 'ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout?.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => {
    said.err += chunk.toString();
    if (said.err.endsWith('[y/N] ')) void answer?.().then((text) => pty?.master.write(text));
  });
  const [code] = (await once(child, 'close')) as [number];
  if (stdin !== null) closeSync(stdin);
  pty?.master.close();
  return { code, ...said };
}

async function stranger(serialNumber: string): Promise<{ key: TestKey; fingerprint: string }> {
  const key = await makeTestKey();
  await server.enrol(key, { serialNumber, facts: { board: 'a board' } });
  return { key, fingerprint: key.verification.thumbprint };
}
async function register(deviceId: string, serialNumber: string): Promise<void> {
  const { publicJwk: publicKey } = await makeTestKey();
  await database.store.transaction((sql) =>
    registerDevice(sql, ALL_CUSTOMERS, 'test', { deviceId, serialNumber, publicKey }),
  );
}
const statusOf = async ({ key }: { key: TestKey }, serialNumber: string): Promise<string> =>
  (await server.enrol(key, { serialNumber, facts: { board: 'a board' } })).status;

test('an approval shows the device, asks, and sends what was shown', async () => {
  const newcomer = await stranger('CLI-1');
  const told = await pending(['approve', newcomer.fingerprint.slice(0, 12)], async () => 'y\n');
  expect(told).toMatchObject({ code: 0, out: expect.stringContaining('a board') });
  expect([told.err, told.out]).toEqual([
    expect.stringContaining('as a new device?'),
    expect.stringMatching(/It is kiosk-/),
  ]);
  expect(await statusOf(newcomer, 'CLI-1')).toBe('accepted');
});

test('that a device comes back is asked by its name', async () => {
  await register('kiosk-cli', 'CLI-2');
  const back = await stranger('CLI-2');
  const told = await pending(['approve', back.fingerprint], async () => 'yes\n');
  expect(told).toMatchObject({ code: 0, err: expect.stringContaining('Let it in as kiosk-cli, and revoke the key') });
  expect(told.out).toContain('It is kiosk-cli');
});

test('no answer is a no, and changes nothing', async () => {
  const newcomer = await stranger('CLI-3');
  expect(await pending(['approve', newcomer.fingerprint], async () => '\n')).toMatchObject({
    code: 1,
    err: expect.stringContaining('not_agreed'),
  });
  expect(await statusOf(newcomer, 'CLI-3')).toBe('pending');
});

test('what changes while the human thinks is not approved', async () => {
  const newcomer = await stranger('CLI-4');
  const told = await pending(['approve', newcomer.fingerprint], async () => {
    await register('kiosk-cli-4', 'CLI-4');
    return 'y\n';
  });
  expect(told).toMatchObject({ code: 1, err: expect.stringContaining('pending_changed') });
  expect(await statusOf(newcomer, 'CLI-4')).toBe('pending');
});

test('a script, which cannot be asked, says what it saw and which device it means', async () => {
  await register('kiosk-cli-5', 'CLI-5');
  const back = await stranger('CLI-5');
  const approve = async (...args: string[]) => pending(['approve', back.fingerprint, ...args]);
  expect(await approve()).toMatchObject({ code: 1, err: expect.stringContaining('not_seen') });
  const { etag } = JSON.parse((await pending(['show', back.fingerprint, '--json'])).out) as { etag: string };
  expect(await approve('--seen', '"another"')).toMatchObject({ err: expect.stringContaining('pending_changed') });
  expect(await approve('--seen', etag)).toMatchObject({ code: 1, err: expect.stringContaining('device_ambiguous') });
  expect(await approve('--seen', etag, '--device', 'kiosk-cli-5')).toMatchObject({ code: 0 });
});

test('a rejection stays until it is dismissed', async () => {
  const unwanted = await stranger('CLI-6');
  expect((await pending(['reject', unwanted.fingerprint])).out).toContain('is rejected');
  expect(await statusOf(unwanted, 'CLI-6')).toBe('rejected');
  expect((await pending(['dismiss', unwanted.fingerprint])).out).toContain('is forgotten');
  expect(await statusOf(unwanted, 'CLI-6')).toBe('pending');
});
