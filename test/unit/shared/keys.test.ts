import { importVerificationKey, KeyError, keyIdOf } from '@paddock/shared/keys.ts';
import { describe, expect, it } from 'vitest';
import { makeTestKey } from '../../harness/signing.ts';

describe('importVerificationKey', () => {
  it('knows the thumbprint of RFC 8037, appendix A.3', async () => {
    const key = await importVerificationKey({
      kty: 'OKP',
      crv: 'Ed25519',
      x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo',
    });
    expect(key.thumbprint).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
    expect(key.keyId).toBe('kPrK_qmxVWaY');
    expect(key.algorithms).toEqual(['Ed25519', 'EdDSA']);
  });

  it('pins ES256 to a P-256 key', async () => {
    const { verification } = await makeTestKey('ES256');
    expect(verification.algorithms).toEqual(['ES256']);
    expect(verification.keyId).toBe(keyIdOf(verification.thumbprint));
    expect(verification.keyId).toHaveLength(12);
  });

  it('keeps the public numbers only', async () => {
    const { privateJwk } = await makeTestKey();
    const { jwk } = await importVerificationKey({ ...privateJwk, kid: 'x', use: 'sig', alg: 'none' });
    expect(Object.keys(jwk).toSorted()).toEqual(['crv', 'kty', 'x', 'y']);
  });

  it.each(['B', '=', '\n'])('refuses a second spelling of the same key (%j)', async (ending) => {
    const { publicJwk } = await makeTestKey();
    const x = `${publicJwk.x?.slice(0, ending === 'B' ? -1 : undefined)}${ending}`;
    await expect(importVerificationKey({ ...publicJwk, x })).rejects.toMatchObject({ code: 'key_unsupported' });
  });

  it.each([
    ['an RSA key', { kty: 'RSA', n: 'sXch', e: 'AQAB' }],
    ['another curve', { kty: 'EC', crv: 'P-384', x: 'AA', y: 'AA' }],
    ['a secret', { kty: 'oct', k: 'AAAA' }],
    ['X25519', { kty: 'OKP', crv: 'X25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' }],
    ['nothing', {}],
    ['a point that is not on its curve', { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) }],
    ['a coordinate that is missing', { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43) }],
    ['a short Ed25519 key', { kty: 'OKP', crv: 'Ed25519', x: 'AAAA' }],
  ])('refuses %s', async (_, jwk) => {
    const refused = importVerificationKey(jwk);
    await expect(refused).rejects.toBeInstanceOf(KeyError);
    await expect(refused).rejects.toMatchObject({ code: 'key_unsupported' });
  });
});
