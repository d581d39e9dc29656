import { spawn } from 'node:child_process';
import { createPrivateKey } from 'node:crypto';
import { once } from 'node:events';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openPty, type Pty } from '../../../harness/pty.ts';

const PROGRAM = join(import.meta.dirname, '../../../../cloud/bin/paddock.cjs');
const PASSPHRASE = 'correct horse battery';

let work: string;
let pty: Pty;
/** What the terminal shows. */
let shown: string;

beforeEach(async () => {
  work = await mkdtemp(join(tmpdir(), 'paddock-typed-'));
  pty = openPty();
  shown = '';
  pty.master.onData((chunk) => void (shown += Buffer.from(chunk).toString()));
});
afterEach(async () => {
  pty.master.close();
  await rm(work, { recursive: true });
});

/** Somebody makes a key, and types each answer once it is asked for. */
async function makeKey(answers: readonly string[]): Promise<{ code: unknown; told: string }> {
  const terminal = openSync(pty.path, constants.O_RDWR | constants.O_NOCTTY);
  const { PADDOCK_KEYS_PASSPHRASE: _, ...env } = process.env;
  const command = [PROGRAM, 'keys', 'new', work, '--role', 'targets'];
  const child = spawn(process.execPath, command, { env, stdio: [terminal, 'pipe', 'pipe'] });
  closeSync(terminal);
  const ended = once(child, 'exit');
  let told = '';
  const rest = [...answers];
  let seen = 0;
  child.stderr?.on('data', (chunk: Buffer) => {
    told += chunk.toString();
    for (const asked = told.match(/(Passphrase of [^:]*|Once more): /g)?.length ?? 0; seen < asked; seen += 1)
      void pty.master.write(rest.shift() ?? '');
  });
  const [code] = (await ended) as [unknown];
  return { code, told };
}
const files = (): Promise<string[]> => readdir(work);

test('a passphrase that is typed is asked for twice, shown nowhere, and opens the key', async () => {
  const { code, told } = await makeKey([
    `${PASSPHRASE}\r`,
    'something else 12\r',
    `${PASSPHRASE}\r`,
    `${PASSPHRASE}\r`,
  ]);
  expect([code, told]).toEqual([0, expect.stringContaining('They are not the same.')]);
  expect(`${shown}${told}`).not.toContain('horse');
  const [file = ''] = await files();
  const pem = await readFile(join(work, file), 'utf8');
  expect(createPrivateKey({ key: pem, passphrase: PASSPHRASE }).asymmetricKeyType).toBe('ed25519');
});

test('Ctrl-C instead of a passphrase makes no key, and says so', async () => {
  const { code, told } = await makeKey(['half of it\u0003']);
  expect([code, told]).toEqual([1, expect.stringContaining('role_key_unasked')]);
  expect(await files()).toEqual([]);
});

test('a passphrase that is too short makes no key', async () => {
  const { code, told } = await makeKey(['short\r', 'short\r']);
  expect([code, told]).toEqual([1, expect.stringContaining('passphrase_weak')]);
  expect(await files()).toEqual([]);
});
