import { BundleError } from '@paddock/shared/bundle-error.ts';
import { formatIndex, parseIndex, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { MAX_BUNDLE_FILES, MAX_MANIFEST_BYTES, parseManifest } from '@paddock/shared/manifest.ts';
import {
  formatPackHead,
  packHeadBytes,
  packObjects,
  parsePackHead,
  PACK_ENCODINGS,
  PACK_PREFIX_BYTES,
} from '@paddock/shared/pack.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const SHA = 'a'.repeat(64);
const file = (path: string, sha256 = SHA): IndexEntry => ({ path, mode: '644', size: 5, sha256 });
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const codeOf = (work: () => unknown): string | null => {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof BundleError) return error.code;
    throw error;
  }
};
const refusal = (...entries: IndexEntry[]): string | null => codeOf(() => parseIndex(formatIndex(entries)));

describe('an index', () => {
  it('is read as it was written', () => {
    const entries: IndexEntry[] = [
      { path: 'bin/kiosk', mode: '755', size: 12, sha256: SHA },
      { path: 'current', link: 'bin/kiosk' },
      { path: 'logs', directory: true },
      { path: 'web/a', link: '../bin/kiosk' },
    ];
    expect(parseIndex(formatIndex(entries.toReversed()))).toEqual(entries);
    expect(parseIndex(new Uint8Array())).toEqual([]);
  });

  it.each([
    ['goes up', '../x', 'path_invalid'],
    ['goes up later', 'a/../../x', 'path_invalid'],
    ['is absolute', '/etc/passwd', 'path_invalid'],
    ['is empty', '', 'path_invalid'],
    ['has an empty name', 'a//b', 'path_invalid'],
    ['ends in a slash', 'a/', 'path_invalid'],
    ['has a dot for a name', './a', 'path_invalid'],
    ['has a newline', 'a\nb', 'path_invalid'],
    ['has a NUL', 'a\0b', 'path_invalid'],
    ['has a backslash', 'a\\b', 'path_invalid'],
    ['is not in normal form C', 'e\u0301', 'path_invalid'],
    ['has half of a surrogate pair', 'a\ud800', 'path_invalid'],
    ['is too long', `${'a/'.repeat(600)}b`, 'path_invalid'],
    ['has a name that is too long', 'a'.repeat(256), 'path_invalid'],
    ['is the slot’s own', '.paddock/index', 'path_invalid'],
    ['is the slot’s own in other letters', '.Paddock/index', 'path_invalid'],
  ])('is refused with a path that %s', (_, path, code) => {
    expect(refusal(file(path))).toBe(code);
  });

  it.each(['/etc/passwd', '..', '../..', '../../x', 'a/../../../x', '', '../..//x'])(
    'is refused with the link %j',
    (link) => {
      expect(refusal({ path: 'd/l', link })).toMatch(/^(link_outside|path_invalid)$/);
    },
  );

  it('is refused when it says a path twice, in two cases, or under what is no directory', () => {
    expect(refusal(file('a'), file('a'))).toBe('path_duplicate');
    expect(refusal(file('README'), file('readme'))).toBe('path_case');
    expect(refusal(file('Lib/a'), file('lib/b'))).toBe('path_case');
    expect(refusal(file('a'), file('a/b'))).toBe('path_under_file');
    expect(refusal({ path: 'a', link: 'b' }, file('a/x'), file('b/x'))).toBe('path_under_file');
    // Between the two a third one sorts.
    expect(refusal(file('a'), file('a-b'), file('a/b'))).toBe('path_under_file');
    expect(refusal({ path: 'a', directory: true }, file('a/b'))).toBe('path_under_file');
  });

  it.each([
    ['out of order', '{"path":"b","directory":true}\n{"path":"a","directory":true}\n'],
    ['with white space', '{"path": "a","directory":true}\n'],
    ['with an unknown member', '{"path":"a","directory":true,"x":1}\n'],
    ['with a setuid mode', `{"path":"a","mode":"4755","size":1,"sha256":"${SHA}"}\n`],
    ['with a negative size', `{"path":"a","mode":"644","size":-1,"sha256":"${SHA}"}\n`],
    ['with a size of 5 GB', `{"path":"a","mode":"644","size":5000000000,"sha256":"${SHA}"}\n`],
    ['with a short hash', '{"path":"a","mode":"644","size":1,"sha256":"ab"}\n'],
    ['without its last newline', '{"path":"a","directory":true}'],
    ['with a blank line', '\n'],
    ['that is an array', '[]\n'],
    ['that is not JSON', 'x\n'],
  ])('is refused %s', (_, text) => {
    expect(codeOf(() => parseIndex(bytes(text)))).toBe('index_invalid');
  });

  it('is refused when it is not UTF-8, or longer than any', () => {
    expect(codeOf(() => parseIndex(Uint8Array.of(0xff, 0x0a)))).toBe('index_invalid');
    expect(codeOf(() => parseIndex(bytes('\n'.repeat(MAX_BUNDLE_FILES + 1))))).toBe('index_too_large');
  });

  it('is one text, whatever bytes come', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        if (codeOf(() => parseIndex(noise)) === null) expect(formatIndex(parseIndex(noise))).toEqual(noise);
      }),
    );
    const name = fc.stringMatching(/^[a-zA-Z.~_-]{1,3}$/);
    const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => names.join('/'));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 6 }), (paths) => {
        if (refusal(...paths.map((each) => file(each))) !== null) return;
        const folded = paths.map((each) => each.toLowerCase());
        expect(new Set(folded).size).toBe(paths.length);
        expect(folded.some((a) => folded.some((b) => b.startsWith(`${a}/`)))).toBe(false);
        expect(paths.flatMap((each) => each.split('/'))).not.toContain('..');
      }),
    );
  });
});

const MANIFEST = {
  v: 1,
  name: 'kiosk-app',
  version: '1.1.0',
  counter: 2,
  models: ['demo-cp22'],
  index: { sha256: SHA, bytes: 10 },
  sbom: { sha256: SHA, bytes: 10 },
  files: 1,
  bytes: 5,
  run: { command: ['bin/kiosk'] },
  health: { withinSeconds: 60, settleSeconds: 5, sensors: true },
};

describe('a manifest', () => {
  const read = (value: unknown): unknown => parseManifest(bytes(JSON.stringify(value)));

  it('is read', () => {
    expect(read(MANIFEST)).toEqual(MANIFEST);
  });

  it.each([
    ['an unknown key', { ...MANIFEST, sudo: true }, 'manifest_invalid'],
    ['an unknown key deep inside', { ...MANIFEST, run: { command: ['x'], user: 'root' } }, 'manifest_invalid'],
    ['another version', { ...MANIFEST, v: 2 }, 'manifest_version_unsupported'],
    ['no version', { ...MANIFEST, v: undefined }, 'manifest_invalid'],
    ['no model', { ...MANIFEST, models: [] }, 'manifest_invalid'],
    ['the counter 0', { ...MANIFEST, counter: 0 }, 'manifest_invalid'],
    ['a name with a slash', { ...MANIFEST, name: '../x' }, 'manifest_invalid'],
    ['a hook without end', { ...MANIFEST, hooks: { before: { command: ['x'] } } }, 'manifest_invalid'],
    ['a command with a NUL', { ...MANIFEST, run: { command: ['a\0'] } }, 'manifest_invalid'],
    ['nothing in it', null, 'manifest_invalid'],
  ])('is refused with %s', (_, value, code) => {
    expect(codeOf(() => read(value))).toBe(code);
  });

  it('is refused when it is no JSON, or too long', () => {
    expect(codeOf(() => parseManifest(bytes('{')))).toBe('manifest_invalid');
    expect(codeOf(() => parseManifest(bytes(' '.repeat(MAX_MANIFEST_BYTES + 1))))).toBe('manifest_invalid');
  });
});

describe('a pack', () => {
  it('brings each object once that the old index does not have, with the old content of its path as the base', () => {
    const [same, old, next] = ['1', '2', '3'].map((digit) => digit.repeat(64));
    const from = [file('a', same), file('b', old)];
    const to = [file('b', next), file('c', same), file('d', next), file('e', old)];
    expect(packObjects(to, from)).toEqual([{ sha256: next, size: 5, base: file('b', old) }]);
    expect(packObjects(to, null).map(({ sha256, base }) => [sha256, base])).toEqual([
      [next, null],
      [same, null],
      [old, null],
    ]);
  });

  it('has a head that is read as it was written', () => {
    const part = fc.record({ bytes: fc.nat(), encoding: fc.constantFrom(...PACK_ENCODINGS) });
    fc.assert(
      fc.property(fc.record({ index: part, objects: fc.array(part) }), (head) => {
        const written = formatPackHead(head);
        expect(packHeadBytes(written)).toBe(written.length - PACK_PREFIX_BYTES);
        expect(parsePackHead(written.subarray(PACK_PREFIX_BYTES))).toEqual(head);
      }),
    );
  });

  it.each(['', 'PDKPACK', 'PDKPACK2aaaa', 'PDKPACK1\xff\xff\xff\xff'])('is none that begins with %j', (prefix) => {
    expect(codeOf(() => packHeadBytes(Uint8Array.from(prefix, (letter) => letter.charCodeAt(0))))).toBe(
      'bundle_malformed',
    );
  });

  it.each(['x', '1', 'null', '{"v":2,"index":[1,0],"objects":[]}', '{"v":1,"index":[1,9],"objects":[]}'])(
    'is none with the head %j',
    (head) => {
      expect(codeOf(() => parsePackHead(bytes(head)))).toBe('bundle_malformed');
    },
  );
});
