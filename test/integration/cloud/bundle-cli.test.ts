import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdDecompressSync } from 'node:zlib';
import {
  buildBundle,
  inspectBundle,
  type BuiltBundle,
  type BundleDifference,
  type BundleInspection,
} from '@paddock/cloud/bundle-run.ts';
import { isFile, isLink, parseIndex } from '@paddock/shared/bundle-index.ts';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { refusalOf } from '../../harness/bundles.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');
const PROGRAM = join(REPOSITORY, 'cloud/bin/paddock.cjs');
const APPLICATION = join(REPOSITORY, 'firmware-bundles/kiosk-app');

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let directory: string;
const path = (name: string): string => join(directory, name);
const started: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'paddock-bundle-'));
});
afterEach(async () => {
  for (const child of started.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  await rm(directory, { recursive: true });
});

const execute = (file: string, args: readonly string[], options: object = {}): Promise<Outcome> =>
  new Promise((resolve) => {
    execFile(file, args, { cwd: directory, ...options }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
const paddock = (...args: string[]): Promise<Outcome> => execute(process.execPath, [PROGRAM, 'bundle', ...args]);

async function json<Body>(...args: string[]): Promise<Body> {
  const { code, out, err } = await paddock(...args, '--json');
  if (code !== 0) throw new Error(err);
  return JSON.parse(out) as Body;
}

/** A recipe's directory with one program, and something done to its payload. */
async function recipe(prepare: (payload: string) => Promise<unknown>): Promise<string> {
  await mkdir(path('recipe/payload/bin'), { recursive: true });
  await writeFile(path('recipe/payload/bin/app'), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(
    path('recipe/bundle.yaml'),
    `name: app
version: 1.0.0
counter: 1
models: [demo-cp22]
run: { command: [bin/app] }
health: { withinSeconds: 5, settleSeconds: 1, sensors: false }
`,
  );
  await prepare(path('recipe/payload'));
  return 'recipe';
}

/** Builds without a process of its own. */
const build = (from: string, to: string): Promise<BuiltBundle> => buildBundle(from, path(to));

async function refusal(prepare: (payload: string) => Promise<unknown>): Promise<string | null> {
  await rm(path('recipe'), { recursive: true, force: true });
  const from = path(await recipe(prepare));
  const code = await refusalOf(() => build(from, 'app-1.bundle'));
  await expect(stat(path('app-1.bundle'))).rejects.toThrow('ENOENT');
  return code;
}

describe('paddock bundle build', () => {
  test('builds the same bytes at another time, in another place, with another umask and in another language', async () => {
    const [first, second] = [path('first'), path('second/deeper')];
    for (const place of [first, second]) await cp(APPLICATION, place, { recursive: true });
    await utimes(join(second, 'application/screen/app.ts'), 0, 0);
    for (const file of ['application/screen/app.ts', '1.1.0/payload/package.json'])
      await chmod(join(second, file), 0o600);
    await chmod(join(second, 'application/bin/probe'), 0o700);
    await build(join(first, '1.1.0'), 'a.bundle');
    const command = `umask 077; exec "$0" "$@"`;
    const args = [PROGRAM, 'bundle', 'build', join(second, '1.1.0'), '--out', path('b.bundle')];
    const env = { ...process.env, LC_ALL: 'tr_TR.UTF-8', TZ: 'Asia/Tokyo', UV_THREADPOOL_SIZE: '1' };
    expect(await execute('/bin/sh', ['-c', command, process.execPath, ...args], { env })).toMatchObject({ code: 0 });
    expect((await readFile(path('a.bundle'))).equals(await readFile(path('b.bundle')))).toBe(true);
  });

  test('refuses what no slot may hold, and leaves no file', async () => {
    expect(await refusal((payload) => execute('mkfifo', [join(payload, 'pipe')]))).toBe('kind_refused');
    expect(await refusal((payload) => chmod(join(payload, 'bin/app'), 0o4755))).toBe('mode_refused');
    expect(await refusal((payload) => symlink('/etc/passwd', join(payload, 'link')))).toBe('link_outside');
    expect(await refusal((payload) => writeFile(join(payload, 'BIN'), ''))).toBe('path_case');
    expect(await refusal((payload) => writeFile(join(payload, 'e\u0301'), ''))).toBe('path_invalid');
    const latin1 = (payload: string): Buffer => Buffer.concat([Buffer.from(`${payload}/`), Buffer.of(0xe9)]);
    expect(await refusal((payload) => writeFile(latin1(payload), ''))).toBe('path_invalid');
    expect(await refusal((payload) => rm(join(payload, 'bin/app')))).toBe('command_missing');
    expect(await refusal((payload) => rm(payload, { recursive: true }))).toBe('payload_missing');
  });

  test('refuses a socket', async () => {
    const server = createServer();
    const code = await refusal(async (payload) => {
      server.listen(join(payload, 'socket'));
      await once(server, 'listening');
    });
    server.close();
    expect(code).toBe('kind_refused');
  });

  test('reads a file that is a link’s name as a link, and never what it leads to', async () => {
    await recipe((payload) => symlink('bin/app', join(payload, 'current')));
    await build(path('recipe'), 'app-1.bundle');
    const { entries } = await inspectBundle(path('app-1.bundle'));
    expect(entries).toContainEqual({ path: 'current', link: 'bin/app' });
  });

  test('names the fields of a recipe that do not fit', async () => {
    await recipe((payload) => writeFile(join(dirname(payload), 'bundle.yaml'), 'name: App\ncounter: 0\nsudo: true\n'));
    const { code, err } = await paddock('build', 'recipe');
    expect(code).toBe(1);
    expect(err).toContain('sudo is not a known key');
    expect(err).toContain('counter must be a whole number from 1 on');
    expect(err).toContain('health is missing');
    expect(await refusalOf(() => build(path('nowhere'), 'nowhere.bundle'))).toBe('recipe_missing');
  });
});

describe('paddock bundle inspect and diff', () => {
  test('say what is in a bundle, what changed, and what a device would fetch', async () => {
    const built = await json<BuiltBundle>('build', join(APPLICATION, '1.0.0'));
    expect(built).toMatchObject({ file: path('kiosk-app-1.bundle'), name: 'kiosk-app', version: '1.0.0', counter: 1 });
    await build(join(APPLICATION, '1.1.0'), 'kiosk-app-2.bundle');
    const inspected = await json<BundleInspection>('inspect', 'kiosk-app-2.bundle');
    expect(inspected.manifest).toMatchObject({ version: '1.1.0', counter: 2, models: ['demo-cp22'] });
    expect(inspected.sbom).toMatchObject({ bomFormat: 'CycloneDX' });
    const compared = ['diff', 'kiosk-app-1.bundle', 'kiosk-app-2.bundle'];
    const { from, changes, packBytes, fullPackBytes } = await json<BundleDifference>(...compared);
    expect(from).toBe(built.sha256);
    const help = expect.objectContaining({ change: 'added', path: 'screens/help.json', before: null });
    expect(changes).toContainEqual(help);
    expect(changes).toContainEqual(expect.objectContaining({ change: 'changed', path: 'package.json' }));
    expect(packBytes).toBeLessThan(1_024);
    expect(packBytes).toBeLessThan(fullPackBytes);
    const shown = await paddock('diff', 'kiosk-app-2.bundle', 'kiosk-app-1.bundle');
    expect(shown.out).toMatch(/^removed +\d+ +- +screens\/help[.]json$/m);
    expect((await paddock('inspect', 'kiosk-app-1.bundle')).out).toMatch(/^755 +\d+ +bin\/probe$/m);
  });

  test('refuse a bundle that is cut, padded or altered', async () => {
    await build(join(APPLICATION, '1.0.0'), 'whole.bundle');
    const whole = await readFile(path('whole.bundle'));
    const refused = async (bytes: Buffer): Promise<string | null> => {
      await writeFile(path('other.bundle'), bytes);
      return refusalOf(() => inspectBundle(path('other.bundle')));
    };
    expect(await refused(whole.subarray(0, 4_000))).toBe('bundle_truncated');
    expect(await refused(Buffer.from('no bundle at all'))).toBe('bundle_truncated');
    expect(await refused(Buffer.alloc(2_048, 'x'))).toBe('bundle_malformed');
    expect(await refused(Buffer.concat([whole, Buffer.alloc(512)]))).toBe('bundle_padded');
    const { code, err } = await paddock('inspect', 'other.bundle', '--json');
    expect([code, JSON.parse(err)]).toMatchObject([1, { error: { code: 'bundle_padded' } }]);
  });

  test('an archive can be taken apart with tar', async () => {
    await build(join(APPLICATION, '1.0.0'), 'whole.bundle');
    const { code, out } = await execute('tar', ['-xOf', 'whole.bundle', 'manifest.json']);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ v: 1, name: 'kiosk-app' });
  });
});

/** Lays a bundle out as a slot has it, with tar and the index alone. */
async function layOut(bundle: string, slot: string): Promise<void> {
  await mkdir(`${slot}.archive`, { recursive: true });
  await execute('tar', ['-xf', bundle, '-C', `${slot}.archive`]);
  for (const entry of parseIndex(await readFile(join(`${slot}.archive`, 'index')))) {
    await mkdir(join(slot, dirname(entry.path)), { recursive: true });
    if (isLink(entry)) await symlink(entry.link, join(slot, entry.path));
    if (!isFile(entry)) continue;
    const object = join(`${slot}.archive/objects`, entry.sha256);
    const content = await readFile(object).catch(async () => zstdDecompressSync(await readFile(`${object}.zst`)));
    await writeFile(join(slot, entry.path), content, { mode: Number.parseInt(entry.mode, 8) });
  }
}

describe('the application of the demonstration kiosk', () => {
  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
    PADDOCK_APP_DIR: path('application'),
  });
  const probe = (slot: string): Promise<Outcome> => execute('bin/probe', [], { cwd: slot, env: env() });

  async function run(slot: string): Promise<ChildProcess> {
    const child = spawn(join(slot, 'bin/kiosk-app'), { cwd: slot, env: env(), stdio: ['ignore', 'pipe', 'inherit'] });
    started.push(child);
    await once(child.stdout, 'data');
    return child;
  }

  test('runs from a slot, and is well in its own version only; the third one never is', async () => {
    await mkdir(path('application'));
    for (const version of ['1.0.0', '1.1.0', '1.2.0']) {
      await build(join(APPLICATION, version), `${version}.bundle`);
      await layOut(path(`${version}.bundle`), path(version));
    }
    expect((await probe(path('1.0.0'))).err).toContain('no answer');
    const first = await run(path('1.0.0'));
    expect(await probe(path('1.0.0'))).toMatchObject({ code: 0, out: 'kiosk-app 1.0.0 is well\n' });
    expect(await probe(path('1.1.0'))).toMatchObject({ code: 1, err: 'kiosk-app: 1.0.0 runs, and not 1.1.0\n' });
    first.kill('SIGTERM');
    await once(first, 'exit');
    expect(first.exitCode).toBe(0);
    const second = await run(path('1.1.0'));
    expect(await probe(path('1.1.0'))).toMatchObject({ code: 0 });
    // Killed, it leaves its socket behind: the next one takes its place.
    second.kill('SIGKILL');
    await once(second, 'exit');
    const third = await run(path('1.2.0'));
    expect(await probe(path('1.2.0'))).toMatchObject({ code: 1, err: 'kiosk-app: prices: its file cannot be read\n' });
    await sleep(100);
    expect(third.exitCode).toBeNull();
  });
});
