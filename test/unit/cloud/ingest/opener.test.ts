import { afterAll, describe, expect, it } from 'vitest';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { startOpener } from '@paddock/cloud/adapters/opener.ts';
import { authenticate } from '@paddock/cloud/ingest/authenticate.ts';
import { openHere } from '@paddock/cloud/ingest/open-here.ts';
import type { Opener } from '@paddock/cloud/ports.ts';
import { MAX_PAYLOAD_BYTES, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { Refusal, type RefusalCode } from '@paddock/shared/errors.ts';
import { ALGORITHMS, importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import accepted from '../../../fixtures/vectors/accepted.json' with { type: 'json' };
import keys from '../../../fixtures/vectors/keys.json' with { type: 'json' };
import refused from '../../../fixtures/vectors/refused.json' with { type: 'json' };
import { OPENER_PROGRAM } from '../../../harness/ingest.ts';
import { fullReport } from '../../../harness/samples.ts';
import { makeTestKey } from '../../../harness/signing.ts';
import { jwsOf, twinOf } from '../../../harness/wire.ts';

const threads = startOpener({ program: OPENER_PROGRAM, threads: 2 });
afterAll(() => threads.close());
const OPENERS: [name: string, opener: Opener][] = [
  ['here', openHere(inflater)],
  ['in threads', threads],
];

const key = await makeTestKey();
const header = { alg: 'ES256', kid: key.signing.keyId, typ: 'paddock-report' };
const utf8 = new TextDecoder();

/** What an opener makes of a message: its JSON, or the code of what is wrong. */
async function opened(opener: Opener, text: string, by: VerificationKey = key.verification): Promise<unknown> {
  const payload = await opener.open(parseEnvelope(text), by);
  if (payload === null) return 'signature_invalid';
  return 'code' in payload ? payload.code : JSON.parse(utf8.decode(payload.json));
}

describe.each(OPENERS)('envelopes opened %s', (_, opener) => {
  const keyOf = (name: string): Promise<VerificationKey> =>
    importVerificationKey(keys[name as keyof typeof keys].publicJwk);

  it.each(ALGORITHMS)('opens %s, plain and deflated', async (algorithm) => {
    const signer = await makeTestKey(algorithm);
    for (const how of [undefined, deflater]) {
      const text = await seal('report', fullReport, signer.signing, how);
      expect(await opened(opener, text, signer.verification)).toEqual(fullReport);
    }
  });

  it.each(accepted)('opens the golden vector: $name', async ({ key: name, envelope, payload }) => {
    expect(await opened(opener, envelope, await keyOf(name))).toEqual(payload);
  });

  it.each(refused.filter(({ topic }) => topic.endsWith('/report')))(
    'refuses the golden vector as $code: $name',
    async ({ topic, key: name, envelope, code }) => {
      const known = await keyOf(name);
      const keyDirectory = {
        keyOf: async (_device: string, keyId: string) => {
          if (keyId !== known.keyId) throw new Refusal('key_unknown');
          return known;
        },
      };
      const inbound = { topic, payload: Buffer.from(envelope), receivedAt: wallMs(0) };
      const { message } = await authenticate(inbound, keyDirectory, opener);
      expect(message).toMatchObject({ code });
    },
  );

  it('takes the (r, n - s) twin of an ES256 signature: it is the same message', async () => {
    expect(await opened(opener, twinOf(await seal('report', fullReport, key.signing)))).toEqual(fullReport);
  });

  it('takes r and s of every length: a hundred signatures have leading zeros and leading ones', async () => {
    const texts = await Promise.all(
      Array.from({ length: 600 }, (_, n) => seal('report', { ...fullReport, sequence: n }, key.signing)),
    );
    expect(new Set(await Promise.all(texts.map((text) => opened(opener, text))))).not.toContain('signature_invalid');
  });

  it.each([
    ['of zeros', () => Buffer.alloc(64)],
    ['of r = 0', () => Buffer.concat([Buffer.alloc(32), Buffer.alloc(32, 1)])],
    ['of ones', () => Buffer.alloc(64, 0xff)],
    ['of 63 bytes', () => Buffer.alloc(63, 1)],
    ['of 65 bytes', () => Buffer.alloc(65, 1)],
    ['of one byte', () => Buffer.alloc(1)],
  ])('believes no signature %s', async (_what, bytes) => {
    const [head, payload] = (await seal('report', fullReport, key.signing)).split('.');
    const text = `${head}.${payload}.${bytes().toString('base64url')}`;
    expect(await opened(opener, text)).toBe('signature_invalid');
  });

  it('believes no signature of another key', async () => {
    const stranger = await makeTestKey();
    expect(await opened(opener, await seal('report', fullReport, stranger.signing))).toBe('signature_invalid');
  });

  it('tells good from bad one by one, in any mixture', async () => {
    const bomb = deflater.deflate(Buffer.alloc(2 * MAX_PAYLOAD_BYTES, 0x20), new Uint8Array());
    const good = await seal('report', fullReport, key.signing, deflater);
    const [head, payload] = good.split('.');
    const kinds: [text: string, becomes: unknown][] = [
      [good, fullReport],
      [`${head}.${payload}.${'A'.repeat(86)}`, 'signature_invalid'],
      [await jwsOf({ ...header, cty: 'd1' }, bomb, key), 'payload_too_large'],
      [await jwsOf({ ...header, cty: 'd1' }, Buffer.from([0xff]), key), 'payload_malformed'],
    ];
    const mixture = Array.from({ length: 400 }, (_, n) => kinds[(n * 7 + (n >> 3)) % kinds.length] ?? kinds[0]);
    const outcomes = await Promise.all(mixture.map((kind) => opened(opener, kind?.[0] ?? '')));
    expect(outcomes).toEqual(mixture.map((kind) => kind?.[1]));
  });
});

describe('an algorithm that is not the key’s', () => {
  it.each(OPENERS)('is refused before anything is opened %s', async (_, opener) => {
    const ed = await makeTestKey('Ed25519');
    const text = await seal('report', fullReport, ed.signing);
    const inbound = {
      topic: `paddock/v1/${fullReport.device}/report`,
      payload: Buffer.from(text),
      receivedAt: wallMs(0),
    };
    const asked = { keyOf: async () => key.verification };
    const { message } = await authenticate(inbound, asked, opener);
    expect(message).toMatchObject({ code: 'alg_refused' satisfies RefusalCode });
  });
});

describe('a thread that dies', () => {
  it('fails what it had, so that it is tried again, and is replaced', async () => {
    const program = new URL(`data:text/javascript,import { parentPort } from 'node:worker_threads';
      parentPort.once('message', () => { throw new Error('out of order'); });`);
    const opener = startOpener({ program, threads: 1 });
    const envelope = parseEnvelope(await seal('report', fullReport, key.signing));
    await expect(opener.open(envelope, key.verification)).rejects.toThrow('died');
    // The new thread was asked, too: it died of the question as well.
    await expect(opener.open(envelope, key.verification)).rejects.toThrow('died');
    await opener.close();
  });
});
