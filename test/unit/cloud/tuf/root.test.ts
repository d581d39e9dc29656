import { EXPIRY_DAYS, formatMetadata, parseRoot } from '@paddock/cloud/tuf/formats.ts';
import { checkRoot, keyIdLike, newRoot, nextRoot, progressOfRoot } from '@paddock/cloud/tuf/root.ts';
import { keyIdOf, type Signer } from '@paddock/cloud/tuf/signatures.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { expect, it } from 'vitest';
import { newSigner, signed } from '../../../harness/firmware.ts';
import { thrownCode } from './thrown-code.ts';

const NOW = wallMs(Date.UTC(2026, 10, 28, 12, 0, 0, 123));
const [a, b, c, d, e] = [newSigner(), newSigner(), newSigner(), newSigner(), newSigner()] as const;
const online = { snapshot: newSigner().key, timestamp: newSigner().key };
const keys = (...signers: readonly Signer[]) => signers.map(({ key }) => key);
const first = signed(
  newRoot({ root: { keys: keys(a, b, c), threshold: 2 }, targets: { keys: keys(d), threshold: 1 }, online }, NOW),
  [a, b],
);

it('the first root says what the specification wants, to the letter', () => {
  const { signed: body } = parseRoot(formatMetadata(first));
  expect(body).toMatchObject({ _type: 'root', spec_version: '1.0.31', version: 1, consistent_snapshot: true });
  expect(body.expires).toBe('2027-11-28T12:00:00Z');
  expect(EXPIRY_DAYS.root).toBe(365);
  expect(Object.keys(body.keys)).toContain(keyIdOf(a.key));
  expect(thrownCode(() => checkRoot(null, first))).toBeNull();
});

it('the next root needs a threshold of the keys before, and one of its own', () => {
  const next = nextRoot(
    first,
    { revoke: [b.keyId, c.keyId], add: keys(d, e).map((key) => ({ role: 'root', key })) },
    NOW,
  );
  const codes = [
    [a, d],
    [a, b],
    [d, e],
    [a, b, d],
    [b, c, d, e],
  ].map((by) => thrownCode(() => checkRoot(first, signed(next, by))));
  expect(codes).toEqual(['metadata_unsigned', 'metadata_unsigned', 'metadata_unsigned', null, null]);
  expect(progressOfRoot(first, signed(next, [b, d])).map((one) => one.signed)).toEqual([[b.keyId], [d.keyId]]);
});

it('a root that skips one, or repeats one, does not follow', () => {
  const second = signed(nextRoot(first, {}, NOW), [a, b]);
  const third = signed(nextRoot(second, {}, NOW), [a, b]);
  expect(thrownCode(() => checkRoot(first, third))).toBe('metadata_out_of_step');
  expect(thrownCode(() => checkRoot(second, second))).toBe('metadata_out_of_step');
  expect(thrownCode(() => checkRoot(second, third))).toBeNull();
});

it('a root names no key under another id, no threshold that nobody can reach, and no online key for people', () => {
  const renamed = structuredClone(first);
  Object.assign(renamed.signed.keys, { [keyIdOf(a.key)]: b.key });
  expect(thrownCode(() => checkRoot(null, signed(renamed, [a, b])))).toBe('firmware_root_invalid');
  expect(thrownCode(() => nextRoot(first, { thresholds: { targets: 2 } }, NOW))).toBe('firmware_root_invalid');
  const shared = { add: [{ role: 'targets', key: online.snapshot }] } as const;
  expect(thrownCode(() => nextRoot(first, shared, NOW))).toBe('firmware_root_invalid');
  expect(thrownCode(() => nextRoot(first, { revoke: ['f'.repeat(64)] }, NOW))).toBe('key_unlisted');
});

it('a key is known by how its id begins, when that is one', () => {
  expect(keyIdLike(first.signed, a.keyId.slice(0, 12))).toBe(a.keyId);
  expect(thrownCode(() => keyIdLike(first.signed, ''))).toBe('key_unlisted');
});

it.each([
  ['an unknown member', (text: string) => text.replace('"_type"', '"x":1,"_type"')],
  ['fractions of seconds', (text: string) => text.replace(':00Z', ':00.000Z')],
  ['a day that no calendar has', (text: string) => text.replace('2027-11-28', '2027-02-30')],
  ['a number that is none of a version', (text: string) => text.replace('"version": 1,', '"version": 1.5,')],
  ['a key in capitals', (text: string) => text.replace(/"public": "([0-9a-f]+)"/, (all) => all.toUpperCase())],
])('metadata with %s are refused', (_what, change) => {
  const text = formatMetadata(first);
  expect(change(text)).not.toBe(text);
  expect(thrownCode(() => parseRoot(change(text)))).toBe('metadata_malformed');
});
