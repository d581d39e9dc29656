import { createHash } from 'node:crypto';
import { zstdCompressSync } from 'node:zlib';
import { formatIndex, isFile, parseIndex } from '@paddock/shared/bundle-index.ts';
import { verified } from '@paddock/cloud/bundles/content.ts';
import { readBundle } from '@paddock/cloud/bundles/read.ts';
import type { Recipe } from '@paddock/cloud/bundles/recipe.ts';
import { BLOCK_BYTES, formatHead, paddingOf } from '@paddock/cloud/bundles/tar.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  archiveOf,
  bundleOf,
  bytesFrom,
  memoryFile,
  refusalOf,
  treePayload,
  type Tree,
} from '../../../harness/bundles.ts';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

const TREE: Tree = {
  'bin/app': { content: '#!/bin/sh\n', mode: 0o755 },
  'bin/current': { link: 'app' },
  'web/page.html': 'hello '.repeat(500),
  'web/copy.html': 'hello '.repeat(500),
  empty: '',
  logs: { kind: 'directory' },
};

const read = async (archive: Uint8Array) => readBundle(memoryFile(archive));
const refused = (archive: Uint8Array): Promise<string | null> => refusalOf(() => read(archive));

interface Member {
  readonly name: string;
  readonly content: Uint8Array;
}

/** The members of an archive, by the heads that are in it. */
function membersOf(archive: Buffer): Member[] {
  const members: Member[] = [];
  for (let at = 0; archive[at] !== 0;) {
    const name = archive.toString('latin1', at, at + 100).replace(/\0.*$/s, '');
    const bytes = Number.parseInt(archive.toString('latin1', at + 124, at + 135), 8);
    members.push({ name, content: archive.subarray(at + BLOCK_BYTES, at + BLOCK_BYTES + bytes) });
    at += BLOCK_BYTES + bytes + paddingOf(bytes);
  }
  return members;
}

const written = (members: readonly Member[]): Buffer =>
  Buffer.concat([
    ...members.flatMap(({ name, content }) => [
      formatHead({ name, bytes: content.length }),
      content,
      Buffer.alloc(paddingOf(content.length)),
    ]),
    Buffer.alloc(2 * BLOCK_BYTES),
  ]);

/** The archive with one member changed, its manifest made to fit where the index or the manifest is that member. */
function changed(archive: Buffer, name: string, change: (content: Buffer) => Uint8Array | string): Buffer {
  return written(
    membersOf(archive).map((member) =>
      member.name === name ? { name, content: Buffer.from(change(Buffer.from(member.content))) } : member,
    ),
  );
}

const withManifest = (archive: Buffer, change: (manifest: Record<string, unknown>) => object): Buffer =>
  changed(archive, 'manifest.json', (content) =>
    JSON.stringify(change(JSON.parse(content.toString()) as Record<string, unknown>)),
  );

describe('an archive', () => {
  it('is read as it was written: manifest, index, and each content once', async () => {
    const bundle = await bundleOf(TREE);
    expect(bundle.manifest).toMatchObject({ name: 'kiosk-app', version: '1.0.0', counter: 1, files: 4, bytes: 6010 });
    expect(bundle.sha256).toBe(sha256(bundle.manifestBytes));
    expect(bundle.manifest.index.sha256).toBe(sha256(bundle.indexBytes));
    expect(bundle.entries).toEqual([
      { path: 'bin/app', mode: '755', size: 10, sha256: sha256('#!/bin/sh\n') },
      { path: 'bin/current', link: 'app' },
      { path: 'empty', mode: '644', size: 0, sha256: sha256('') },
      { path: 'logs', directory: true },
      { path: 'web/copy.html', mode: '644', size: 3000, sha256: sha256('hello '.repeat(500)) },
      { path: 'web/page.html', mode: '644', size: 3000, sha256: sha256('hello '.repeat(500)) },
    ]);
    const page = sha256('hello '.repeat(500));
    expect((await bytesFrom(bundle.object(page))).toString()).toBe('hello '.repeat(500));
    expect(bundle.packedObject(page)).toMatchObject({ encoding: 'zstd' });
    expect(membersOf(await archiveOf(TREE)).map(({ name }) => name)).toEqual([
      'manifest.json',
      'index',
      'sbom.cdx.json',
      `objects/${sha256('#!/bin/sh\n')}`,
      `objects/${sha256('')}`,
      `objects/${page}.zst`,
    ]);
  });

  it('is the same bytes, whatever the order of names, of layers and of the rest of modes is', async () => {
    const { 'bin/app': _, ...rest } = TREE;
    const other = { ...rest, 'bin/app': { content: '#!/bin/sh\n', mode: 0o700 } };
    const archive = await archiveOf(TREE);
    expect(await archiveOf([treePayload(other, (names) => names.toReversed())])).toEqual(archive);
    const [a, b] = [treePayload({ 'bin/app': other['bin/app'], logs: { kind: 'directory' } }), treePayload(rest)];
    expect(await archiveOf([a, b])).toEqual(archive);
    expect(await archiveOf([b, a])).toEqual(archive);
  });

  it('holds what is too long for memory, compressed in pieces', async () => {
    const long = Buffer.alloc(9_000_000, 'all work and no play ');
    const noise = Buffer.alloc(8_400_000);
    for (let at = 0, x = 1; at < noise.length; at += 4)
      noise.writeUInt32LE((x = (Math.imul(x, 1_664_525) + 1_013_904_223) >>> 0), at);
    const bundle = await bundleOf({ long, noise });
    expect(sha256(await bytesFrom(bundle.object(sha256(long))))).toBe(sha256(long));
    expect(bundle.packedObject(sha256(long)).bytes).toBeLessThan(10_000);
    expect(sha256(await bytesFrom(bundle.object(sha256(noise))))).toBe(sha256(noise));
    expect(bundle.packedObject(sha256(noise)).encoding).toBe('plain');
  });

  it('is refused wherever it is cut', async () => {
    const archive = await archiveOf(TREE);
    for (let bytes = 0; bytes < archive.length; bytes += 97)
      expect(await refused(archive.subarray(0, bytes)), `${bytes} bytes`).toBe('bundle_truncated');
    expect(await refused(archive.subarray(0, -1))).toBe('bundle_truncated');
  });

  it('is refused with anything behind its end', async () => {
    const archive = await archiveOf(TREE);
    expect(await refused(Buffer.concat([archive, Buffer.alloc(1)]))).toBe('bundle_padded');
    expect(await refused(Buffer.concat([archive, Buffer.alloc(10_240)]))).toBe('bundle_padded');
    expect(await refused(Buffer.concat([archive, archive]))).toBe('bundle_padded');
  });

  it('is refused with a member twice, one too many, one too few, or in another order', async () => {
    const members = membersOf(await archiveOf(TREE));
    const [manifest, index, sbom, first, ...others] = members as [Member, Member, Member, Member, ...Member[]];
    const evil = { name: '../../etc/passwd', content: Buffer.from('root') };
    expect(await refused(written([manifest, index, sbom, first, first, ...others]))).toBe('path_duplicate');
    expect(await refused(written([...members, first]))).toBe('path_duplicate');
    expect(await refused(written([manifest, manifest, index, sbom, first, ...others]))).toBe('path_duplicate');
    expect(await refused(written([...members, evil]))).toBe('bundle_malformed');
    expect(await refused(written([manifest, index, sbom, evil, first, ...others]))).toBe('bundle_malformed');
    expect(await refused(written(members.slice(0, -1)))).toBe('bundle_truncated');
    expect(await refused(written([manifest, sbom, index, first, ...others]))).toBe('path_duplicate');
    expect(await refused(written([manifest, index, sbom, ...others, first]))).toBe('bundle_malformed');
    expect(await refused(written([]))).toBe('bundle_truncated');
  });

  it('is refused when a size lies', async () => {
    const archive = await archiveOf(TREE);
    const page = `objects/${sha256('hello '.repeat(500))}.zst`;
    const app = `objects/${sha256('#!/bin/sh\n')}`;
    expect(await refused(changed(archive, app, (content) => content.subarray(1)))).toBe('size_mismatch');
    expect(await refused(changed(archive, page, (content) => Buffer.concat([content, content])))).toBe(
      'bundle_malformed',
    );
    expect(await refused(changed(archive, page, () => Buffer.alloc(3000, 'hello ')))).toBe('size_mismatch');
    expect(await refused(withManifest(archive, (manifest) => ({ ...manifest, files: 5 })))).toBe('size_mismatch');
    expect(await refused(withManifest(archive, (manifest) => ({ ...manifest, bytes: 1 })))).toBe('size_mismatch');
    expect(await refused(changed(archive, 'sbom.cdx.json', (content) => `${content.toString()} `))).toBe(
      'size_mismatch',
    );
    // A bomb: many zeros in few bytes, where the index says 3,000.
    expect(await refused(changed(archive, page, () => zstdCompressSync(Buffer.alloc(50_000_000))))).toBe(
      'size_mismatch',
    );
  });

  it('is refused when a content is another one', async () => {
    const archive = await archiveOf(TREE);
    const app = `objects/${sha256('#!/bin/sh\n')}`;
    const swap = (content: Buffer): Buffer => Buffer.from(content.toString().replace('sh', 'zz'));
    expect(await refused(changed(archive, app, swap))).toBe('hash_mismatch');
    expect(await refused(changed(archive, 'index', (content) => content.toString().replace('"644"', '"755"')))).toBe(
      'hash_mismatch',
    );
  });

  it('is refused when its index is not one, whoever signed it', async () => {
    const archive = await archiveOf(TREE);
    const resigned = (index: Uint8Array): Buffer =>
      withManifest(
        changed(archive, 'index', () => index),
        (manifest) => ({ ...manifest, index: { sha256: sha256(index), bytes: index.length } }),
      );
    const entries = parseIndex(membersOf(archive)[1]?.content ?? new Uint8Array());
    const moved = (path: string): Uint8Array =>
      formatIndex(entries.map((entry) => (isFile(entry) && entry.path === 'empty' ? { ...entry, path } : entry)));
    expect(await refused(resigned(formatIndex(entries)))).toBeNull();
    expect(await refused(resigned(moved('../x')))).toBe('path_invalid');
    expect(await refused(resigned(moved('LOGS')))).toBe('path_case');
    expect(await refused(resigned(moved('web/page.html')))).toBe('path_duplicate');
    expect(await refused(resigned(moved('bin/current/x')))).toBe('path_under_file');
  });

  it('is refused with a command that its payload does not have, whoever built it', async () => {
    const archive = await archiveOf(TREE);
    const run = (program: string): Promise<string | null> =>
      refused(withManifest(archive, (manifest) => ({ ...manifest, run: { command: [program] } })));
    expect(await run('bin/app')).toBeNull();
    expect(await run('bin/current')).toBeNull();
    expect(await run('node')).toBeNull();
    for (const program of ['../../bin/sh', '/bin/sh', 'bin/none', './bin/app', 'web/page.html'])
      expect([program, await run(program)]).toEqual([program, 'manifest_command']);
  });

  it('for RAUC is one bundle of its own, and is refused with anything else, whoever built it', async () => {
    const one: Tree = { 'kiosk.raucb': 'a bundle' };
    const archive = await archiveOf(one, { installer: 'rauc' });
    expect((await read(archive)).manifest).toMatchObject({ installer: 'rauc', files: 1 });
    const built = (tree: Tree, recipe: Partial<Recipe> = {}): Promise<string | null> =>
      refusalOf(() => archiveOf(tree, { installer: 'rauc', ...recipe }));
    const wrong: Tree[] = [
      { ...one, other: '' },
      { kiosk: 'a bundle' },
      { 'deep/kiosk.raucb': '' },
      { 'kiosk.raucb': { kind: 'directory' } },
    ];
    for (const tree of wrong) expect([tree, await built(tree)]).toEqual([tree, 'manifest_payload']);
    expect(await built(one, { run: { command: ['node'] } })).toBe('manifest_payload');
    expect(await built(one, { hooks: { before: { command: ['sync'], timeoutSeconds: 5 } } })).toBeNull();
    const others = await archiveOf(TREE);
    expect(await refused(withManifest(others, (manifest) => ({ ...manifest, installer: 'rauc' })))).toBe(
      'manifest_payload',
    );
    expect(await refused(withManifest(archive, (manifest) => ({ ...manifest, installer: 'swupdate' })))).toBe(
      'manifest_invalid',
    );
  });

  it('is refused with a manifest of another version, or with an unknown key', async () => {
    const archive = await archiveOf(TREE);
    expect(await refused(withManifest(archive, (manifest) => ({ ...manifest, v: 2 })))).toBe(
      'manifest_version_unsupported',
    );
    expect(await refused(withManifest(archive, (manifest) => ({ ...manifest, sudo: true })))).toBe('manifest_invalid');
  });

  it('is refused with anything in it that says nothing: behind a member, in a head, in the end', async () => {
    const archive = await archiveOf(TREE);
    const [manifest] = membersOf(archive) as [Member];
    const altered = (at: number, text: string): Buffer => {
      const copy = Buffer.from(archive);
      copy.write(text, at, 'latin1');
      return copy;
    };
    expect(await refused(altered(BLOCK_BYTES + manifest.content.length, 'x'))).toBe('bundle_malformed');
    expect(await refused(altered(archive.length - 1, 'x'))).toBe('bundle_malformed');
    // The owner's name, with a checksum that counts it.
    const sum =
      Number.parseInt(archive.toString('latin1', 148, 154), 8) +
      'root'.split('').reduce((total, letter) => total + letter.charCodeAt(0), 0);
    const named = altered(265, 'root');
    named.write(sum.toString(8).padStart(6, '0'), 148, 'latin1');
    expect(await refused(named)).toBe('bundle_malformed');
  });

  it('is refused as soon as more comes than was said', async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (;;) yield Buffer.alloc(10);
    }
    const said = { sha256: sha256(''), size: 25 };
    expect(await refusalOf(() => bytesFrom(verified(endless(), said, 'a file')))).toBe('size_mismatch');
  });

  it('is refused, or says the same, whichever byte of it is another one', async () => {
    const archive = await archiveOf(TREE);
    const whole = await read(archive);
    const contents = async (bundle: typeof whole): Promise<string[]> =>
      Promise.all(
        bundle.entries.filter(isFile).map(async (file) => sha256(await bytesFrom(bundle.object(file.sha256)))),
      );
    const expected = await contents(whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(archive.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const mutant = Buffer.from(archive);
        mutant[at] = (mutant[at] ?? 0) ^ flip;
        if ((await refused(mutant)) !== null) return;
        const bundle = await read(mutant);
        expect(bundle.entries).toEqual(whole.entries);
        expect(await contents(bundle)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('is what any payload becomes, and what it is read back from', async () => {
    const name = fc.stringMatching(/^[a-zé]{1,3}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    const node = fc.oneof(fc.string({ unit: 'grapheme', maxLength: 300 }), fc.uint8Array({ maxLength: 50 }));
    await fc.assert(
      fc.asyncProperty(fc.dictionary(path, node, { maxKeys: 8 }), async (tree) => {
        const paths = Object.keys(tree);
        // A path that is file and directory at once is no tree.
        fc.pre(!paths.some((each) => paths.some((other) => other.startsWith(`${each}/`))));
        const bundle = await bundleOf(tree);
        for (const entry of bundle.entries.filter(isFile)) {
          const said = tree[entry.path] ?? '';
          expect(await bytesFrom(bundle.object(entry.sha256))).toEqual(Buffer.from(said as string));
        }
        expect(bundle.entries.map((entry) => entry.path).toSorted()).toEqual(paths.toSorted());
      }),
      { numRuns: 60 },
    );
  });
});
