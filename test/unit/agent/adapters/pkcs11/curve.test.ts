import { generateKeyPairSync } from 'node:crypto';
import { curveOfKey, curveOfKind, publicJwk, type KeyKind } from '@paddock/agent/adapters/pkcs11/curve.ts';
import { describe, expect, it } from 'vitest';

const hex = (text: string): Uint8Array => Buffer.from(text, 'hex');
const curveOf = (kind: KeyKind) => {
  const curve = curveOfKind(kind);
  if (curve === undefined) throw new Error(kind);
  return curve;
};

/** A public key as JWK and as the bare point that a token has. */
function newPoint(kind: KeyKind): { jwk: object; point: Buffer } {
  const { publicKey } =
    kind === 'P-256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
  const { kty, crv, x = '', y } = publicKey.export({ format: 'jwk' });
  const bytes = [x, y ?? ''].map((text) => Buffer.from(text, 'base64url'));
  if (y === undefined) return { jwk: { kty, crv, x }, point: Buffer.concat(bytes) };
  return { jwk: { kty, crv, x, y }, point: Buffer.concat([hex('04'), ...bytes]) };
}

describe.each(['P-256', 'Ed25519'] as const)('the public point of a %s key', (kind) => {
  it('is read as an OCTET STRING, as a BIT STRING and bare', () => {
    for (let n = 0; n < 50; n += 1) {
      const { jwk, point } = newPoint(kind);
      const octets = Buffer.concat([Buffer.from([0x04, point.length]), point]);
      const bits = Buffer.concat([Buffer.from([0x03, point.length + 1, 0]), point]);
      for (const encoded of [octets, bits, point]) expect(publicJwk(curveOf(kind), encoded)).toEqual(jwk);
    }
  });

  it('is none when anything is missing or too much', () => {
    const { point } = newPoint(kind);
    const octets = Buffer.concat([Buffer.from([0x04, point.length]), point]);
    for (const wrong of [hex(''), octets.subarray(0, -1), Buffer.concat([octets, hex('00')]), point.subarray(1)])
      expect(publicJwk(curveOf(kind), wrong)).toBeNull();
  });
});

it('takes no compressed point of P-256', () => {
  expect(publicJwk(curveOf('P-256'), Buffer.concat([hex('02'), Buffer.alloc(64, 1)]))).toBeNull();
});

it.each([
  [0x3, '06082a8648ce3d030107', 'P-256'],
  [0x40, '130c656477617264733235353139', 'Ed25519'],
  [0x40, '06032b6570', 'Ed25519'],
  // P-384, Ed448, P-256's parameters on an Edwards key, RSA.
  [0x3, '06052b81040022', undefined],
  [0x40, '06032b6571', undefined],
  [0x40, '06082a8648ce3d030107', undefined],
  [0x0, '', undefined],
])('tells curves apart: type %i with %s is %s', (keyType, params, kind) => {
  expect(curveOfKey(keyType, hex(params))?.kind).toBe(kind);
});
