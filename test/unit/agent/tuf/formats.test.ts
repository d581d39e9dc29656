import { parseRoot, parseSnapshot, parseTargets, parseTimestamp } from '@paddock/agent/tuf/formats.ts';
import { parseStrictJson } from '@paddock/agent/tuf/strict-json.ts';
import { describe, expect, it } from 'vitest';
import { codeThrown } from '../../../harness/tuf/client.ts';
import { delegate, TufSimulator, utf8 } from '../../../harness/tuf/simulator.ts';

const code = (work: () => unknown): Promise<string | null> => codeThrown(Promise.resolve().then(work));

describe('JSON that has one meaning', () => {
  it('is read as it is', () => {
    const text = '{"a":[1,{"b":"\\"{:"},{"b":"]"}],"c\\\\":{"a":null}, "d" : "x:y"}';
    expect(parseStrictJson(utf8(text))).toEqual(JSON.parse(text));
  });

  it.each([
    ['a member twice', '{"a":1,"a":2}'],
    ['a member twice, once in disguise', '{"a":1,"\\u0061":2}'],
    ['a member twice, deep inside', '[{"x":{"a":[],"b":1,"a":{}}}]'],
    ['a member that is the prototype', '{"__proto__":{}}'],
    ['the same in disguise', '{"\\u005f_proto__":{}}'],
    ['what is nested without end', `${'['.repeat(33)}${']'.repeat(33)}`],
    ['what is no JSON', '{"a":1'],
    ['two documents', '{}{}'],
    ['half of a character', '{"a":"\\ud83d"}'],
    ['half of a character in a name', '{"\\ude00":1}'],
    ['a byte order mark', '\uFEFF{}'],
    ['nothing', ''],
  ])('refuses %s', async (_, text) => {
    expect(await code(() => parseStrictJson(utf8(text)))).toBe('tuf_malformed');
  });

  it('refuses what is not UTF-8', async () => {
    expect(await code(() => parseStrictJson(Uint8Array.of(0x22, 0xff, 0x22)))).toBe('tuf_malformed');
  });

  it('takes time in proportion to its length', () => {
    const long = (n: number): Uint8Array =>
      utf8(JSON.stringify(Array.from({ length: n }, (_, i) => ({ [`k${i}`]: 1 }))));
    expect(parseStrictJson(long(100_000))).toHaveLength(100_000);
  });
});

const repository = new TufSimulator();
repository.delegated.push(delegate('one'), delegate('two', { path_hash_prefixes: ['ab'] }));
repository.publish();
const READERS = {
  '1.root': parseRoot,
  timestamp: parseTimestamp,
  '2.snapshot': parseSnapshot,
  '2.targets': parseTargets,
} as const;
type Document = { signed: Record<string, unknown>; signatures: object[] };

const changed = (file: keyof typeof READERS, change: (document: Document) => void): Uint8Array => {
  const document = JSON.parse(new TextDecoder().decode(repository.file(`metadata/${file}.json`))) as Document;
  change(document);
  return utf8(JSON.stringify(document));
};
const set = (name: string, value: unknown) => (document: Document) => void (document.signed[name] = value);
const within = (path: string[], value: unknown) => (document: Document) => {
  let at: unknown = document.signed;
  for (const name of path.slice(0, -1)) at = (at as Record<string, unknown>)[name];
  (at as Record<string, unknown>)[path.at(-1) ?? ''] = value;
};

const FILES = Object.keys(READERS) as (keyof typeof READERS)[];

describe.each(FILES)('%s', (file) => {
  const read = (change: (document: Document) => void): Promise<string | null> =>
    code(() => READERS[file](changed(file, change)));

  it('is read, with members that nobody knows', async () => {
    expect(await read(set('x-later', { a: [1] }))).toBeNull();
  });

  it.each([0, -1, 1.5, '1', 2 ** 53, null])('with version %s is refused', async (version) => {
    expect(await read(set('version', version))).toBe('tuf_malformed');
  });

  it.each([
    '2026-02-30T00:00:00Z',
    '2026-13-01T00:00:00Z',
    '2026-01-01T24:00:00Z',
    '2026-01-01T00:00:00.000Z',
    '2026-01-01',
    '2026-01-01T00:00:00+00:00',
    'never',
    '',
    '+002026-01-01T00:00:00Z',
    1_800_000_000,
  ])('that expires %s is refused', async (expires) => {
    expect(await read(set('expires', expires))).toBe('tuf_malformed');
  });

  it.each(['2.0.0', '0.9', '1', '1.x', 1])('of specification %s is refused', async (version) => {
    expect(await read(set('spec_version', version))).toBe('tuf_malformed');
  });

  it('that says it is something else is refused', async () => {
    expect(await read(set('_type', file === 'timestamp' ? 'snapshot' : 'timestamp'))).toBe('tuf_malformed');
  });

  it('with two signatures of one key is refused', async () => {
    expect(await read(({ signatures }) => void signatures.push(...signatures))).toBe('tuf_malformed');
  });
});

describe('what else metadata may not say', () => {
  it.each([
    ['a threshold of 0', '1.root', within(['roles', 'root', 'threshold'], 0)],
    ['a threshold that is no count', '1.root', within(['roles', 'targets', 'threshold'], 1.5)],
    ['a key of a role twice', '1.root', within(['roles', 'timestamp', 'keyids'], ['a', 'a'])],
    ['no role for snapshots', '1.root', within(['roles', 'snapshot'], undefined)],
    ['a snapshot without targets', '2.snapshot', within(['meta', 'targets.json'], undefined)],
    ['a version of 0 in a snapshot', '2.snapshot', within(['meta', 'one.json', 'version'], 0)],
    ['a length below 0', '2.snapshot', within(['meta', 'one.json', 'length'], -1)],
    ['an empty list of hashes', '2.snapshot', within(['meta', 'one.json', 'hashes'], {})],
    ['two files in a timestamp', 'timestamp', within(['meta', 'targets.json'], { version: 1 })],
    ['a target without hashes', '2.targets', within(['targets', 'a'], { length: 1, hashes: {} })],
    ['a target with a line break in its name', '2.targets', within(['targets', 'a\nb'], 'anything')],
    ['a role twice', '2.targets', within(['delegations', 'roles', '1', 'name'], 'one')],
    [
      'a delegated role named as a role of the root',
      '2.targets',
      within(['delegations', 'roles', '0', 'name'], 'root'),
    ],
    ['paths and prefixes at once', '2.targets', within(['delegations', 'roles', '0', 'path_hash_prefixes'], ['a'])],
    [
      'roles and bins at once',
      '2.targets',
      within(['delegations', 'succinct_roles'], { keyids: ['a'], threshold: 1, bit_length: 4, name_prefix: 'bin' }),
    ],
  ] as const)('%s', async (_, file, change) => {
    expect(await code(() => READERS[file](changed(file, change)))).toBe('tuf_malformed');
  });
});
