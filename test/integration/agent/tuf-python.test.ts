import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Repository } from '@paddock/agent/ports-firmware.ts';
import { canonicalJson } from '@paddock/agent/tuf/canonical-json.ts';
import { openTuf, type Tuf } from '@paddock/agent/tuf/tuf.ts';
import { newSnapshot, newTimestamp } from '@paddock/cloud/tuf/online.ts';
import { newRoot } from '@paddock/cloud/tuf/root.ts';
import type { Signer } from '@paddock/cloud/tuf/signatures.ts';
import { nextTargets } from '@paddock/cloud/tuf/targets.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryDisk } from '../../harness/agent/memory-disk.ts';
import { newSigner, signed } from '../../harness/firmware.ts';
import { codeThrown } from '../../harness/tuf/client.ts';

/** Debian's, whose modules they are; another one may come first in the path. */
const PYTHON = '/usr/bin/python3';
const SCRIPTS = join(import.meta.dirname, '../../harness/tuf');
const NOW = wallMs(Date.UTC(2026, 10, 23));
const GO_ON = new AbortController().signal;

/** What canonical forms differ in where somebody read the rules otherwise. */
const VALUE = {
  b: [0, -1, 9_007_199_254_740_991, -9_007_199_254_740_991, true, false, null, [], {}, ''],
  a: { 'x"y': '\\', 'x\\y': '"', 'x/y': '/' },
  '\uFB01': 1,
  '\u{1F600}': 2,
  '\uFFFF': 3,
  '\u{10FFFF}': 4,
  é: 'e\u0301',
  'e\u0301': 'é',
  controls: '\u0000\b\f\n\r\t\u001F\u007F\u2028',
  aa: 5,
  A: 6,
  '': 7,
};

let directory: string;
let printed: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'paddock-python-'));
  printed = python(VALUE, 'write-repository.py', directory, '2027-01-01T00:00:00Z');
});
afterAll(() => rmSync(directory, { recursive: true }));

const python = (value: unknown, script: string, ...args: string[]): string =>
  execFileSync(PYTHON, [join(SCRIPTS, script), ...args], { input: JSON.stringify(value), encoding: 'utf8' }).trim();

function open(): Promise<Tuf> {
  const repository: Repository = {
    async get(path) {
      const file = join(directory, path);
      return existsSync(file) ? new Uint8Array(readFileSync(file)) : null;
    },
    async *part() {},
  };
  const firstRoot = () => ({ bytes: new Uint8Array(readFileSync(join(directory, 'metadata/1.root.json'))) });
  const log = { debug() {}, info() {}, warn() {}, error() {} };
  const time = () => ({ earliest: NOW, latest: NOW });
  return openTuf({ disk: new MemoryDisk(), repository, firstRoot, time, log });
}

it('canonical JSON is byte by byte what securesystemslib makes of it', () => {
  expect(Buffer.from(canonicalJson(VALUE)).toString('hex')).toBe(printed);
});

describe('a repository that securesystemslib wrote, with RSA, ECDSA and Ed25519 keys,', () => {
  it('is read here, with all that nobody knows in it', async () => {
    const tuf = await open();
    expect(await tuf.refresh(GO_ON)).toEqual({ root: 1, timestamp: 1, snapshot: 1, targets: 1 });
    expect(await read(tuf, 'top/é\u{1F600} \uFB01.txt')).toBe('top');
  });

  it('has delegations that mean the same here: by pattern, by hash, in order, and to the terminating one', async () => {
    const tuf = await open();
    await tuf.refresh(GO_ON);
    expect(await read(tuf, 'one/1')).toBe('one');
    expect(await read(tuf, 'bins/one')).toBe('bin');
    expect(await read(tuf, 'any/1')).toBe('any');
    for (const path of ['end/1', 'top/stolen', 'bins/two'])
      expect(await codeThrown(read(tuf, path))).toBe('tuf_target_unknown');
  });

  it.each([
    ['1.root.json', 'tuf_root_signature'],
    ['timestamp.json', 'tuf_signature'],
  ])('is refused with another word in what nobody knows of %s', async (name, code) => {
    const file = join(directory, 'metadata', name);
    const before = readFileSync(file, 'utf8');
    try {
      writeFileSync(file, before.replace('precomposed', 'decomposed'));
      const refreshed = open().then((tuf) => tuf.refresh(GO_ON));
      expect(await codeThrown(refreshed)).toBe(code);
    } finally {
      writeFileSync(file, before);
    }
  });
});

it('what the service and its operators sign is signed to securesystemslib, too', () => {
  const [root, targets] = [
    [newSigner(), newSigner(), newSigner()],
    [newSigner(), newSigner()],
  ];
  const [snapshot, timestamp] = [newSigner(), newSigner()];
  const of = (signers: readonly Signer[]) => ({ keys: signers.map(({ key }) => key), threshold: 2 });
  const online = { snapshot: snapshot.key, timestamp: timestamp.key };
  const files = {
    root: signed(newRoot({ root: of(root), targets: of(targets), online }, NOW), root.slice(1)),
    targets: signed(nextTargets(null, {}, NOW), targets),
    snapshot: newSnapshot(nextTargets(null, {}, NOW), null, NOW, snapshot),
    timestamp: newTimestamp(newSnapshot(nextTargets(null, {}, NOW), null, NOW, snapshot), null, NOW, timestamp),
  };
  const counts = { root: [2, 2], targets: [2, 2], snapshot: [1, 1], timestamp: [1, 1] };
  expect(JSON.parse(python(files, 'verify-metadata.py'))).toEqual(counts);
  const swapped = { ...files, snapshot: { ...files.snapshot, signatures: files.timestamp.signatures } };
  expect(JSON.parse(python(swapped, 'verify-metadata.py'))).toEqual({ ...counts, snapshot: [0, 1] });
});

const read = async (tuf: Tuf, path: string): Promise<string> =>
  new TextDecoder().decode(await tuf.target(path, 1_000, GO_ON));
