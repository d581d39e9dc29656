import { encodeBase64url } from '@paddock/shared/base64url.ts';
import type { Algorithm } from '@paddock/shared/keys.ts';
import { CK } from './module.ts';

/** The kinds of key that a device can have. */
export type KeyKind = 'P-256' | 'Ed25519';

export interface Curve {
  readonly kind: KeyKind;
  readonly algorithm: Algorithm;
  readonly keyType: number;
  readonly generate: number;
  /** How tokens say it in CKA_EC_PARAMS, in DER and hex; the first one is used to make a key. */
  readonly params: readonly [string, ...string[]];
  /** Bytes of the bare public point, and what it begins with. */
  readonly point: { readonly bytes: number; readonly first: number | null };
}

const CURVES: readonly Curve[] = [
  {
    kind: 'P-256',
    algorithm: 'ES256',
    keyType: CK.keyType.ec,
    generate: CK.mechanism.ecKeyPairGen,
    // secp256r1 (RFC 5480, section 2.1.1.1).
    params: ['06082a8648ce3d030107'],
    // Uncompressed: 04, x, y (SEC 1, section 2.3.3).
    point: { bytes: 65, first: 0x04 },
  },
  {
    kind: 'Ed25519',
    algorithm: 'Ed25519',
    keyType: CK.keyType.edwards,
    generate: CK.mechanism.edwardsKeyPairGen,
    // curveName "edwards25519" (PKCS#11 3.0, section 2.3.10), RFC 8410's identifier, and the one of before it.
    params: ['130c656477617264733235353139', '06032b6570', '06092b06010401da470f01'],
    point: { bytes: 32, first: null },
  },
];

export const curveOfKind = (kind: KeyKind): Curve | undefined => CURVES.find((curve) => curve.kind === kind);

/** The curve of a key that a token holds, by its type and parameters; undefined for one that no device can have. */
export const curveOfKey = (keyType: number, params: Uint8Array): Curve | undefined =>
  CURVES.find((curve) => curve.keyType === keyType && curve.params.includes(Buffer.from(params).toString('hex')));

const OCTET_STRING = 0x04;
const BIT_STRING = 0x03;

/**
 * The public point from CKA_EC_POINT: a DER OCTET STRING as the standard says, a BIT STRING or the bare point as some
 * tokens have it.
 * @returns a public JWK (RFC 7518, section 6.2; RFC 8037, section 2), or null when it is none of these
 */
export function publicJwk(
  curve: Curve,
  encoded: Uint8Array,
): { kty: string; crv: string; x: string; y?: string } | null {
  const point = barePoint(curve, encoded);
  if (point === null) return null;
  if (curve.kind === 'Ed25519') return { kty: 'OKP', crv: curve.kind, x: encodeBase64url(point) };
  return {
    kty: 'EC',
    crv: curve.kind,
    x: encodeBase64url(point.subarray(1, 33)),
    y: encodeBase64url(point.subarray(33)),
  };
}

function barePoint({ point: { bytes, first } }: Curve, encoded: Uint8Array): Uint8Array | null {
  const [tag, length, unused] = encoded;
  const wrapped =
    (tag === OCTET_STRING && length === bytes && encoded.length === bytes + 2) ||
    (tag === BIT_STRING && length === bytes + 1 && unused === 0 && encoded.length === bytes + 3);
  const point = wrapped ? encoded.subarray(-bytes) : encoded;
  return point.length === bytes && (first === null || point[0] === first) ? point : null;
}
