import type { Payload } from '@paddock/cloud/ports-firmware.ts';
import { MAX_FILE_BYTES } from '@paddock/shared/manifest.ts';
import { describe, expect, it } from 'vitest';
import { archiveOf, bundleOf, refusalOf, treePayload, type Tree } from '../../../harness/bundles.ts';

const refused = (...trees: Tree[]): Promise<string | null> =>
  refusalOf(() => archiveOf(trees.map((tree) => treePayload(tree))));

/** A payload of one file, with something of it said otherwise. */
const odd = (change: Partial<Payload>): Promise<string | null> =>
  refusalOf(() => archiveOf([{ ...treePayload({ a: 'abc' }), ...change }]));

describe('a payload is refused', () => {
  it.each<[string, Tree, string]>([
    ['with a device, a socket or a pipe', { a: { kind: 'other' } }, 'kind_refused'],
    ['with a setuid file', { a: { content: '', mode: 0o4755 } }, 'mode_refused'],
    ['with a setgid file', { a: { content: '', mode: 0o2755 } }, 'mode_refused'],
    ['with a sticky file', { a: { content: '', mode: 0o1644 } }, 'mode_refused'],
    ['with a link to the root', { a: { link: '/etc/passwd' } }, 'link_outside'],
    ['with a link that goes up too far', { 'a/b': { link: '../../x' } }, 'link_outside'],
    ['with a link to the slot itself', { 'a/b': { link: '..' } }, 'link_outside'],
    ['with names that differ in case only', { 'a/README': '', 'a/readme': '' }, 'path_case'],
    ['with directories that do', { 'Lib/a': '', 'lib/b': '' }, 'path_case'],
    ['with a name that is not in normal form C', { 'e\u0301': '' }, 'path_invalid'],
    ['with a newline in a name', { 'a\nb': '' }, 'path_invalid'],
    ['with a backslash in a name', { 'a\\b': '' }, 'path_invalid'],
    ['with what is the slot’s own', { '.paddock/manifest.json': '{}' }, 'path_invalid'],
    ['with a path that is too long', { [`${'directory/'.repeat(110)}x`]: '' }, 'path_invalid'],
  ])('%s', async (_, tree, code) => {
    expect(await refused(tree)).toBe(code);
  });

  it('with a path in two of its directories', async () => {
    expect(await refused({ 'a/b': 'x' }, { 'a/b': 'x' })).toBe('path_duplicate');
    expect(await refused({ a: 'x' }, { 'a/b': 'x' })).toBe('path_under_file');
    expect(await refused({ a: 'x' }, { a: { kind: 'directory' } })).toBe('path_duplicate');
  });

  it('with a name that is no text', async () => {
    expect(await odd({ list: async () => [Uint8Array.of(0xff, 0x61)] })).toBe('path_invalid');
    expect(
      await odd({
        look: async () => ({ kind: 'link', size: 1, mode: 0o777 }),
        readLink: async () => Uint8Array.of(0xff),
      }),
    ).toBe('path_invalid');
  });

  it('with a file that is too large, before it is read', async () => {
    const look: Payload['look'] = async () => ({ kind: 'file', size: MAX_FILE_BYTES + 1, mode: 0o644 });
    expect(await odd({ look })).toBe('index_too_large');
  });

  it('when a file changes while it is read', async () => {
    const second = (content: string): Partial<Payload> => {
      let reads = 0;
      return {
        async *read() {
          yield Buffer.from((reads += 1) === 1 ? 'abc' : content);
        },
      };
    };
    expect(await odd(second('abc'))).toBeNull();
    expect(await odd(second('abd'))).toBe('hash_mismatch');
    expect(await odd(second('ab'))).toBe('size_mismatch');
  });

  it('when there is none', async () => {
    expect(await odd({ list: async () => null })).toBe('payload_missing');
  });
});

describe('a payload', () => {
  it('may have an empty directory in several of its directories, and a full one in one', async () => {
    const layers = [
      { logs: { kind: 'directory' }, data: { kind: 'directory' } },
      { logs: { kind: 'directory' }, 'data/a': 'x' },
    ] as const;
    const archive = archiveOf(layers.map((tree) => treePayload(tree)));
    expect(await refusalOf(() => archive)).toBeNull();
    const { entries } = await bundleOf({ logs: { kind: 'directory' }, 'data/a': 'x' });
    expect(entries.map(({ path }) => path)).toEqual(['data/a', 'logs']);
    expect(await archive).toEqual(await archiveOf({ logs: { kind: 'directory' }, 'data/a': 'x' }));
  });
});
