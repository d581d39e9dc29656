import { deflateRawSync } from 'node:zlib';
import { beforeAll, expect, test } from 'vitest';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { verifyProof } from '@paddock/cloud/proof/verify.ts';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import { digestOf, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { reportOf } from '../../../harness/reports.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const deflater = {
  deflate: (bytes: Uint8Array, dictionary: Uint8Array) => deflateRawSync(bytes, { dictionary }),
};
const D1 = Buffer.from(DICTIONARIES.d1).toString('base64');
let key: TestKey;
let other: TestKey;
beforeAll(async () => {
  [key, other] = await Promise.all([makeTestKey(), makeTestKey('Ed25519')]);
});

const historyOf = (...keys: TestKey[]) =>
  keys.map(({ publicJwk, verification }) => ({
    thumbprint: verification.thumbprint,
    jwk: publicJwk,
    addedAt: '',
    revokedAt: null,
  }));

async function proofOf(envelope: string, dictionary: string | null = D1) {
  return {
    deviceId: 'kiosk-0001',
    receivedAt: '2026-11-23T20:00:00.000Z',
    digest: await digestOf(parseEnvelope(envelope)),
    envelope,
    key: key.publicJwk,
    keys: historyOf(other, key),
    dictionary,
  };
}

const sealed = (fields = {}) => seal('report', reportOf(fields), key.signing, deflater);

test('a genuine proof gives the report as it was signed', async () => {
  const proof = await proofOf(await sealed());
  expect(await verifyProof(proof, inflater, key.verification.thumbprint)).toEqual({
    deviceId: 'kiosk-0001',
    receivedAt: proof.receivedAt,
    digest: proof.digest,
    thumbprint: key.verification.thumbprint,
    signed: { report: reportOf() },
  });
});

test('a proof without compression needs no dictionary', async () => {
  const plain = await proofOf(await seal('report', reportOf(), key.signing), null);
  expect((await verifyProof(plain, inflater)).signed).toEqual({ report: reportOf() });
});

/** Another report under the first one's signature. */
async function withForgedPayload(): Promise<string> {
  const [, , signature] = (await sealed()).split('.');
  const [header, payload] = (await sealed({ sequence: 7 })).split('.');
  return [header, payload, signature].join('.');
}

test.each([
  ['proof_malformed', async () => ({})],
  ['proof_malformed', async () => null],
  ['proof_malformed', async () => ({ ...(await proofOf(await sealed())), key: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } })],
  ['envelope_refused', async () => ({ ...(await proofOf(await sealed())), envelope: 'a.b' })],
  ['envelope_refused', async () => proofOf(await withForgedPayload())],
  ['envelope_refused', async () => proofOf(await seal('presence', { v: 1 }, key.signing), null)],
  ['digest_mismatch', async () => ({ ...(await proofOf(await sealed())), digest: 'A'.repeat(43) })],
  ['key_mismatch', async () => ({ ...(await proofOf(await sealed())), key: other.publicJwk })],
  ['key_not_in_history', async () => ({ ...(await proofOf(await sealed())), keys: historyOf(other) })],
  [
    'key_not_in_history',
    async () => ({
      ...(await proofOf(await sealed())),
      keys: [{ thumbprint: key.verification.thumbprint, jwk: other.publicJwk }],
    }),
  ],
  ['dictionary_mismatch', async () => proofOf(await sealed(), null)],
  ['dictionary_mismatch', async () => proofOf(await sealed(), Buffer.from('another').toString('base64'))],
  ['device_mismatch', async () => proofOf(await sealed({ device: 'kiosk-0002' }))],
])('%s', async (code, make) => {
  await expect(verifyProof(await make(), inflater)).rejects.toMatchObject({ name: 'ProofError', code });
});

test('a key that is not the expected one proves nothing', async () => {
  const proof = await proofOf(await sealed());
  await expect(verifyProof(proof, inflater, other.verification.thumbprint)).rejects.toMatchObject({
    code: 'key_pinned_other',
  });
});
