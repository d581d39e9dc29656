import { constants, createPublicKey, verify, type KeyObject } from 'node:crypto';
import type { Key } from './formats.ts';

interface Scheme {
  readonly keytypes: readonly string[];
  /** As Node names it, with the curve where there are several. */
  readonly type: 'ed25519' | 'ec' | 'rsa';
  readonly curve?: 'prime256v1' | 'secp384r1';
  readonly hash: string | null;
}

/** 4.2: what the specification names, and the names that its implementations had before. */
const SCHEMES: Readonly<Record<string, Scheme>> = {
  ed25519: { keytypes: ['ed25519'], type: 'ed25519', hash: null },
  'ecdsa-sha2-nistp256': {
    keytypes: ['ecdsa', 'ecdsa-sha2-nistp256'],
    type: 'ec',
    curve: 'prime256v1',
    hash: 'sha256',
  },
  'ecdsa-sha2-nistp384': {
    keytypes: ['ecdsa', 'ecdsa-sha2-nistp384'],
    type: 'ec',
    curve: 'secp384r1',
    hash: 'sha384',
  },
  'rsassa-pss-sha256': { keytypes: ['rsa'], type: 'rsa', hash: 'sha256' },
  'rsassa-pss-sha384': { keytypes: ['rsa'], type: 'rsa', hash: 'sha384' },
  'rsassa-pss-sha512': { keytypes: ['rsa'], type: 'rsa', hash: 'sha512' },
};
const JWK_CURVES = { prime256v1: 'P-256', secp384r1: 'P-384' } as const;

/** What tells keys apart, however they are written; null for a key, or a scheme, that nobody here knows. */
export function signerOf(key: Key, sig: string, signed: Uint8Array): string | null {
  const scheme = Object.hasOwn(SCHEMES, key.scheme) ? SCHEMES[key.scheme] : undefined;
  if (scheme === undefined || !scheme.keytypes.includes(key.keytype)) return null;
  try {
    const publicKey = readKey(scheme, key.keyval['public'] ?? '');
    const isOfScheme =
      publicKey.asymmetricKeyType === scheme.type && publicKey.asymmetricKeyDetails?.namedCurve === scheme.curve;
    if (!isOfScheme || !isVerified(scheme, publicKey, sig, signed)) return null;
    return JSON.stringify(publicKey.export({ format: 'jwk' }));
  } catch {
    return null;
  }
}

function isVerified({ type, hash }: Scheme, key: KeyObject, sig: string, signed: Uint8Array): boolean {
  const how = type === 'rsa' ? { key, padding: constants.RSA_PKCS1_PSS_PADDING } : key;
  return verify(hash, signed, how, Buffer.from(sig, 'hex'));
}

/** PEM, or hex: the 32 bytes of Ed25519, a point of a curve that is not compressed. */
function readKey({ type, curve }: Scheme, text: string): KeyObject {
  if (text.startsWith('-----BEGIN PUBLIC KEY-----')) return createPublicKey(text);
  const bytes = Buffer.from(text, 'hex');
  if (text === '' || bytes.length * 2 !== text.length) throw new TypeError('neither PEM nor hex');
  if (type === 'ed25519') return keyFrom({ kty: 'OKP', crv: 'Ed25519', x: bytes.toString('base64url') });
  const half = (bytes.length - 1) / 2;
  if (curve === undefined || bytes[0] !== 4) throw new TypeError('no point of a curve');
  const [x, y] = [bytes.subarray(1, 1 + half).toString('base64url'), bytes.subarray(1 + half).toString('base64url')];
  return keyFrom({ kty: 'EC', crv: JWK_CURVES[curve], x, y });
}

const keyFrom = (key: Record<string, string>): KeyObject => createPublicKey({ key, format: 'jwk' });
