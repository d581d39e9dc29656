import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { openInstaller } from '@paddock/agent/installer.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { ObjectStore } from '@paddock/agent/ports-firmware.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { faultsOf, LIMITS, releaseOf, type TestRelease } from '../../harness/agent/slots.ts';

const OLD = releaseOf(1, { 'bin/kiosk': 'one', 'web/same.js': 'same' });
const NEW = releaseOf(2, { 'bin/kiosk': 'two', 'web/same.js': 'same', current: '-> bin/kiosk' });
const GO_ON = new AbortController().signal;

let root: string;
let installer: ReturnType<typeof openInstaller>;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'paddock-installer-'));
  installer = openInstaller(root);
});
afterEach(async () => {
  await installer.close();
  rmSync(root, { recursive: true, force: true });
});

const textsOf = ({ files }: TestRelease): Buffer[] =>
  Object.values(files).flatMap((text) => (text === null || text.startsWith('-> ') ? [] : [Buffer.from(text)]));

async function bring(objects: ObjectStore, release: TestRelease): Promise<void> {
  for (const text of textsOf(release)) await objects.put(sha256Of(text), text);
}

async function commit(release: TestRelease): Promise<void> {
  await bring(installer.objects, release);
  await installer.stage(release, GO_ON);
  await installer.activate(release.release.sha256, LIMITS);
  expect(prepareRun(createTreeCalls(root)).run?.sha256).toBe(release.release.sha256);
  await installer.markGood(release.release.sha256);
}

const collect = async (bytes: AsyncIterable<Uint8Array>): Promise<string> => {
  const parts: Uint8Array[] = [];
  for await (const part of bytes) parts.push(part);
  return Buffer.concat(parts).toString();
};

describe('the installer', () => {
  it('installs one release after the other, and says what it has', async () => {
    expect(await installer.status()).toEqual({ running: null, trial: null, other: null, lost: null });
    expect(await installer.content()).toBeNull();
    expect(await installer.freeBytes()).toBeGreaterThan(1_000_000);
    await commit(OLD);
    await installer.objects.keepOnly(new Set());
    await bring(installer.objects, NEW);
    const told: number[] = [];
    await installer.stage(NEW, GO_ON, (bytes) => told.push(bytes));
    expect(told.reduce((sum, bytes) => sum + bytes, 0)).toBe(Buffer.concat(textsOf(NEW)).length);
    await installer.activate(NEW.release.sha256, LIMITS);
    prepareRun(createTreeCalls(root));
    expect(await installer.status()).toEqual({
      running: { slot: 'b', release: NEW.release, committed: false },
      trial: { slot: 'b', release: NEW.release, starts: 1, givenUp: false },
      other: OLD.release,
      lost: null,
    });
    expect(await installer.content()).toMatchObject({ slot: 'b', release: NEW.release });
    expect((await installer.read('b', 'bin/kiosk', 10))?.toString()).toBe('two');
    expect(await installer.read('b', 'bin/kiosk', 2)).toBeNull();
    expect(await installer.read('b', 'bin/none', 10)).toBeNull();
    await installer.rollBack();
    expect(prepareRun(createTreeCalls(root)).run?.slot).toBe('a');
    expect(faultsOf(createTreeCalls(root), 'b', NEW.release.sha256, [NEW])).toEqual([]);
  });

  it('says what is wrong by a code, and goes on after it', async () => {
    await expect(installer.stage(NEW, GO_ON)).rejects.toMatchObject({
      name: 'InstallError',
      code: 'install_object_missing',
      message: expect.stringMatching(/^A file is neither[^:]+: [0-9a-f]{64}$/) as string,
    });
    await expect(installer.activate(NEW.release.sha256, LIMITS)).rejects.toMatchObject({ code: 'install_not_staged' });
    await expect(installer.rollBack()).rejects.toMatchObject({ code: 'install_no_other' });
    await commit(NEW);
  });

  it('ends a stage soon when it is told to, and stages again afterwards', async () => {
    const many = releaseOf(
      3,
      Object.fromEntries(
        Array.from({ length: 1000 }, (_, at) => [`lib/file-${at}`, `content ${at} ${'x'.repeat(2_000)}`]),
      ),
    );
    await bring(installer.objects, many);
    const stop = new AbortController();
    const reason = new Error('somebody else is wanted');
    const staging = installer.stage(many, stop.signal, () => stop.abort(reason));
    await expect(staging).rejects.toBe(reason);
    expect(readdirSync(join(root, 'a/.paddock'))).toEqual([]);
    await expect(installer.stage(many, stop.signal)).rejects.toBe(reason);
    await commit(many);
  });
});

describe('the store of objects', () => {
  const HELLO = Buffer.from('hello');
  const SHA = sha256Of(HELLO);

  it('has what was put, also in another life; what was not yet durable is lost as a whole', async () => {
    await installer.objects.put(SHA, HELLO);
    expect(await installer.objects.list()).toEqual(new Map([[SHA, 5]]));
    await installer.close();
    writeFileSync(join(root, 'objects', `${sha256Of(Buffer.from('x'))}.new`), 'ha');
    expect(await installer.objects.list()).toEqual(new Map([[SHA, 5]]));
    expect(readdirSync(join(root, 'objects'))).toEqual([SHA]);
    expect(readFileSync(join(root, 'objects', SHA), 'utf8')).toBe('hello');
  });

  it('makes durable a megabyte at a time', async () => {
    const big = Buffer.alloc(600_000);
    await installer.objects.put(sha256Of(HELLO), big);
    expect(readdirSync(join(root, 'objects'))).toEqual([`${SHA}.new`]);
    await installer.objects.put(sha256Of(big), big);
    expect(readdirSync(join(root, 'objects')).toSorted()).toEqual([SHA, sha256Of(big)].toSorted());
  });

  it('keeps the parts of what is on its way', async () => {
    const { objects } = installer;
    expect(await objects.partBytes(SHA)).toBe(0);
    expect(await collect(objects.readPart(SHA))).toBe('');
    await objects.appendPart(SHA, Buffer.from('hel'));
    await installer.close();
    await objects.appendPart(SHA, Buffer.from('lo'));
    expect(await objects.partBytes(SHA)).toBe(5);
    expect(await objects.list()).toEqual(new Map());
    await objects.putStream(SHA, objects.readPart(SHA));
    expect(await objects.list()).toEqual(new Map([[SHA, 5]]));
    await objects.dropPart(SHA);
    expect(await objects.partBytes(SHA)).toBe(0);
    await objects.keepOnly(new Set());
    expect(readdirSync(join(root, 'objects'))).toEqual([]);
  });

  it('takes nothing of a stream that breaks', async () => {
    const broken = new Error('not what was signed');
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield HELLO;
      throw broken;
    }
    await expect(installer.objects.putStream(SHA, stream())).rejects.toBe(broken);
    expect(readdirSync(join(root, 'objects'))).toEqual([]);
  });

  it('does not believe an object again when it is used', async () => {
    await bring(installer.objects, NEW);
    await installer.close();
    truncateSync(join(root, 'objects', sha256Of(Buffer.from('two'))), 2);
    await expect(installer.stage(NEW, GO_ON)).rejects.toMatchObject({ code: 'install_object_missing' });
  });
});
