import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import {
  digestOf,
  MAX_ENVELOPE_BYTES,
  MAX_PAYLOAD_BYTES,
  openEnvelope,
  parseEnvelope,
  seal,
} from '@paddock/shared/envelope.ts';
import type { RefusalCode } from '@paddock/shared/errors.ts';
import { ALGORITHMS } from '@paddock/shared/keys.ts';
import { MESSAGE_KINDS, type MessageKind } from '@paddock/shared/topics.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { refusalOf } from '../../harness/refusals.ts';
import { fullReport } from '../../harness/samples.ts';
import { makeTestKey } from '../../harness/signing.ts';
import { jwsOf, twinOf } from '../../harness/wire.ts';

const key = await makeTestKey('ES256');
const header = { alg: 'ES256', kid: key.signing.keyId, typ: 'paddock-report' };
const open = (text: string): Promise<unknown> => openEnvelope(parseEnvelope(text), key.verification, inflater);

describe('seal and open', () => {
  const kinds = Object.keys(MESSAGE_KINDS) as MessageKind[];
  const cases = ALGORITHMS.flatMap((algorithm) => kinds.map((kind) => ({ algorithm, kind })));

  it.each(cases)('carries a $kind with $algorithm, plain and deflated', async ({ algorithm, kind }) => {
    const signer = await makeTestKey(algorithm);
    for (const how of [undefined, deflater]) {
      const envelope = parseEnvelope(await seal(kind, fullReport, signer.signing, how));
      expect(envelope).toMatchObject({ kind, algorithm, keyId: signer.signing.keyId, dictionary: how ? 'd1' : null });
      expect(await openEnvelope(envelope, signer.verification, inflater)).toEqual(fullReport);
    }
  });

  it('carries any JSON object', async () => {
    const json = fc.dictionary(fc.string({ unit: 'binary', maxLength: 8 }), fc.jsonValue({ stringUnit: 'grapheme' }));
    await fc.assert(
      fc.asyncProperty(json, fc.boolean(), async (payload, deflated) => {
        fc.pre(!JSON.stringify(payload).includes('\\u'));
        const opened = await open(await seal('report', payload, key.signing, deflated ? deflater : undefined));
        expect(opened).toEqual(JSON.parse(JSON.stringify(payload)));
      }),
      { numRuns: 200 },
    );
  });

  it('gives a payload one digest, whatever the signature', async () => {
    const [first, second] = [
      await seal('report', fullReport, key.signing),
      await seal('report', fullReport, key.signing),
    ];
    expect(first).not.toBe(second);
    expect(await digestOf(parseEnvelope(first))).toBe(await digestOf(parseEnvelope(second)));
  });
});

describe('the (r, n - s) twin of an ES256 signature', () => {
  it('verifies, and is the same message', async () => {
    const envelope = await seal('report', fullReport, key.signing, deflater);
    const twin = twinOf(envelope);
    expect(twin).not.toBe(envelope);
    expect(await open(twin)).toEqual(fullReport);
    expect(await digestOf(parseEnvelope(twin))).toBe(await digestOf(parseEnvelope(envelope)));
  });
});

describe('refused by its shape', () => {
  const sealed = (changes: Record<string, unknown>): Promise<string> =>
    jwsOf({ ...header, ...changes }, '{"v":1}', key);
  const raw = (text: string): Promise<string> => jwsOf(text, '{"v":1}', key);

  const cases: [what: string, make: () => string | Promise<string>, code: RefusalCode][] = [
    ['an empty text', () => '', 'envelope_malformed'],
    ['two parts', () => 'QQ.QQ', 'envelope_malformed'],
    ['four parts', () => 'QQ.QQ.QQ.QQ', 'envelope_malformed'],
    ['an empty signature', () => 'QQ.QQ.', 'envelope_malformed'],
    ['JSON instead of a JWS', () => '{"v":1}', 'envelope_malformed'],
    ['padding', async () => `${await sealed({})}==`, 'envelope_not_canonical'],
    ['a newline', async () => `${await sealed({})}\n`, 'envelope_not_canonical'],
    ['too many characters', () => `${'A'.repeat(MAX_ENVELOPE_BYTES)}.A.A`, 'envelope_too_large'],
    ['alg none', () => sealed({ alg: 'none' }), 'alg_refused'],
    ['alg HS256', () => sealed({ alg: 'HS256' }), 'alg_refused'],
    ['alg RS256', () => sealed({ alg: 'RS256' }), 'alg_refused'],
    ['no alg', () => sealed({ alg: undefined }), 'alg_refused'],
    ['an alg in other letters', () => sealed({ alg: 'es256' }), 'alg_refused'],
    ['a foreign typ', () => sealed({ typ: 'JWT' }), 'typ_mismatch'],
    ['no typ', () => sealed({ typ: undefined }), 'typ_mismatch'],
    ['a typ of an object', () => sealed({ typ: {} }), 'typ_mismatch'],
    ['an unknown cty', () => sealed({ cty: 'd99' }), 'cty_unknown'],
    ['a cty of the prototype', () => sealed({ cty: 'toString' }), 'cty_unknown'],
    ['a cty of null', () => sealed({ cty: null }), 'cty_unknown'],
    ['crit', () => sealed({ crit: ['exp'], exp: 1 }), 'header_invalid'],
    ['b64', () => sealed({ b64: false, crit: ['b64'] }), 'header_invalid'],
    ['a key of its own', () => sealed({ jwk: key.publicJwk }), 'header_invalid'],
    ['an address of a key', () => sealed({ jku: 'https://example.org/keys' }), 'header_invalid'],
    ['no kid', () => sealed({ kid: undefined }), 'header_invalid'],
    ['a short kid', () => sealed({ kid: 'abc' }), 'header_invalid'],
    ['a long kid', () => sealed({ kid: 'a'.repeat(43) }), 'header_invalid'],
    ['a kid of another alphabet', () => sealed({ kid: '../../../etc' }), 'header_invalid'],
    ['a kid that is a number', () => sealed({ kid: 123_456_789_012 }), 'header_invalid'],
    ['a header that is too long', () => sealed({ kid: 'a'.repeat(600) }), 'header_invalid'],
    ['a header that is no JSON', () => raw('alg=ES256'), 'header_invalid'],
    ['a header that is an array', () => raw('["ES256"]'), 'header_invalid'],
    ['a header that is null', () => raw('null'), 'header_invalid'],
    ['a header that is a text', () => raw('"ES256"'), 'header_invalid'],
    ['a header with a name twice', () => raw(JSON.stringify(header).replace('{', '{"alg":"none",')), 'header_invalid'],
    ['a header with a byte order mark', () => raw(`\uFEFF${JSON.stringify(header)}`), 'header_invalid'],
  ];
  it.each(cases)('%s', async (_, make, code) => {
    const text = await make();
    expect(await refusalOf(() => parseEnvelope(text))).toBe(code);
  });

  it('takes a header with white space: JSON is JSON', async () => {
    expect(await open(await raw(JSON.stringify(header, null, 1)))).toEqual({ v: 1 });
  });

  it('a header that is not UTF-8', async () => {
    const text = `${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.QQ.QQ`;
    expect(await refusalOf(() => parseEnvelope(text))).toBe('header_invalid');
  });
});

describe('refused by its signature', () => {
  it('of another key', async () => {
    const stranger = await makeTestKey();
    const forged = await seal('report', fullReport, { ...stranger.signing, keyId: key.signing.keyId });
    expect(await refusalOf(() => open(forged))).toBe('signature_invalid');
  });

  it('over another content', async () => {
    const [head, , signature] = (await seal('report', fullReport, key.signing)).split('.');
    const payload = Buffer.from('{"v":1}').toString('base64url');
    expect(await refusalOf(() => open(`${head}.${payload}.${signature}`))).toBe('signature_invalid');
  });

  it('of another length', async () => {
    const [head, payload, signature = ''] = (await seal('report', fullReport, key.signing)).split('.');
    for (const length of [1, 63, 65, 128]) {
      const bytes = Buffer.concat([Buffer.from(signature, 'base64url'), Buffer.alloc(64)]).subarray(0, length);
      const text = `${head}.${payload}.${bytes.toString('base64url')}`;
      expect(await refusalOf(() => open(text))).toBe('signature_invalid');
    }
  });

  it('with an algorithm that is not the key’s', async () => {
    const ed = await makeTestKey('Ed25519');
    const text = await seal('report', fullReport, ed.signing);
    expect(await refusalOf(() => open(text))).toBe('alg_refused');
  });

  it('before anything is inflated', async () => {
    const bomb = Buffer.from(deflater.deflate(new Uint8Array(50_000_000), DICTIONARIES.d1));
    const text = await jwsOf({ ...header, cty: 'd1' }, bomb, await makeTestKey());
    const untouched = { inflate: () => expect.fail('inflated without a signature') };
    const opening = (): Promise<unknown> => openEnvelope(parseEnvelope(text), key.verification, untouched);
    expect(await refusalOf(opening)).toBe('signature_invalid');
  });
});

describe('refused by its payload, though signed', () => {
  const deflated = (bytes: Uint8Array): Promise<string> =>
    jwsOf({ ...header, cty: 'd1' }, deflater.deflate(bytes, DICTIONARIES.d1), key);

  it('takes exactly the largest payload', async () => {
    const json = Buffer.from(`"${'a'.repeat(MAX_PAYLOAD_BYTES - 2)}"`);
    expect(await open(await deflated(json))).toHaveLength(MAX_PAYLOAD_BYTES - 2);
    expect(await refusalOf(async () => open(await deflated(Buffer.concat([json, json]))))).toBe('payload_too_large');
  });

  it('an inflation bomb, within bounded memory', async () => {
    const bomb = await deflated(Buffer.alloc(40_000_000, 0x20));
    expect(bomb.length).toBeLessThan(MAX_ENVELOPE_BYTES);
    const before = process.memoryUsage().arrayBuffers;
    expect(await refusalOf(() => open(bomb))).toBe('payload_too_large');
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * MAX_PAYLOAD_BYTES);
  });

  it.each([
    ['bytes that do not inflate', () => jwsOf({ ...header, cty: 'd1' }, Buffer.from([0xff, 0xff, 0xff]), key)],
    [
      'deflate that is cut',
      async () => {
        const whole = deflater.deflate(Buffer.from('{"v":1,"x":"something new"}'), DICTIONARIES.d1);
        return jwsOf({ ...header, cty: 'd1' }, whole.subarray(0, -2), key);
      },
    ],
    ['plain JSON that is called deflated', () => jwsOf({ ...header, cty: 'd1' }, '{"v":1}', key)],
    [
      'deflate that is called plain',
      () => jwsOf(header, deflater.deflate(Buffer.from('{"v":1}'), DICTIONARIES.d1), key),
    ],
    ['UTF-8 that is not', () => jwsOf(header, Buffer.from([0x22, 0xc3, 0x28, 0x22]), key)],
    ['a byte order mark', () => jwsOf(header, '\uFEFF{"v":1}', key)],
    ['JSON that is not', () => jwsOf(header, '{v:1}', key)],
    ['two values', () => jwsOf(header, '{}{}', key)],
    ['U+0000', () => jwsOf(header, '{"v":1,"x":"\\u0000"}', key)],
    ['33 levels', () => jwsOf(header, `{"v":1,"x":[${'['.repeat(31)}${']'.repeat(32)}}`, key)],
    ['20,000 levels', () => jwsOf(header, `{"v":${'['.repeat(20_000)}${']'.repeat(20_000)}}`, key)],
    ['half a surrogate pair', () => jwsOf(header, '{"v":1,"\\ud800":1}', key)],
  ])('%s', async (_, make) => {
    const text = await make();
    expect(await refusalOf(() => open(text))).toBe('payload_malformed');
  });

  it('reads 32 levels', async () => {
    const text = `{"v":1,"x":${'['.repeat(31)}${']'.repeat(31)}}`;
    expect(await open(await jwsOf(header, text, key))).toEqual(JSON.parse(text));
  });

  it('reads escapes that are plain text', async () => {
    expect(await open(await jwsOf(header, '{"x":"\\u00e9\\ud83d\\ude00"}', key))).toEqual({ x: 'é😀' });
  });
});
