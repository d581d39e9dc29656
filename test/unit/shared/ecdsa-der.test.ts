import { generateKeyPairSync, sign, verify } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { derOfEs256, es256OfDer } from '@paddock/shared/ecdsa-der.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

describe('ES256 signatures in two forms', () => {
  it('comes back as it was, whatever the numbers', () => {
    const half = fc.tuple(fc.nat({ max: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }));
    fc.assert(
      fc.property(half, half, ([rZeros, r], [sZeros, s]) => {
        const raw = new Uint8Array([...r.fill(0, 0, rZeros), ...s.fill(0, 0, sZeros)]);
        expect(es256OfDer(derOfEs256(raw))).toEqual(raw);
      }),
    );
  });

  it('is what OpenSSL writes and reads', () => {
    for (let n = 0; n < 300; n++) {
      const data = Buffer.from(`message ${n}`);
      const raw = sign('sha256', data, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      expect(verify('sha256', data, publicKey, derOfEs256(raw))).toBe(true);
      const made = es256OfDer(sign('sha256', data, privateKey));
      expect(verify('sha256', data, { key: publicKey, dsaEncoding: 'ieee-p1363' }, made)).toBe(true);
    }
  });

  it.each([0, 63, 65])('takes no %i bytes for r and s', (length) => {
    expect(() => derOfEs256(new Uint8Array(length))).toThrow(RangeError);
  });
});
