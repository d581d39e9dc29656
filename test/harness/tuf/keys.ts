import { createHash, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** A key of a role, as root metadata show it, with what signs. */
export interface RoleKey {
  readonly id: string;
  readonly shown: { readonly keytype: string; readonly scheme: string; readonly keyval: { readonly public: string } };
  sign(bytes: Uint8Array): string;
}

export type KeyKind = 'ed25519' | 'ecdsa';

export function makeKey(kind: KeyKind = 'ed25519'): RoleKey {
  if (kind === 'ecdsa') {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
    return keyOf('ecdsa', 'ecdsa-sha2-nistp256', pem, privateKey);
  }
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const { x = '' } = publicKey.export({ format: 'jwk' });
  return keyOf('ed25519', 'ed25519', Buffer.from(x, 'base64url').toString('hex'), privateKey);
}

/** The same key written in another way, so that it gets another id. */
export function disguised(key: RoleKey): RoleKey {
  const shown = { ...key.shown, keyval: { public: key.shown.keyval.public.toUpperCase() } };
  return { id: idOf(shown), shown, sign: (bytes) => key.sign(bytes) };
}

export const renamed = (key: RoleKey, id: string): RoleKey => ({ ...key, id, sign: (bytes) => key.sign(bytes) });

function keyOf(keytype: string, scheme: string, text: string, secret: KeyObject): RoleKey {
  const shown = { keytype, scheme, keyval: { public: text } };
  const algorithm = keytype === 'ecdsa' ? 'sha256' : null;
  return { id: idOf(shown), shown, sign: (bytes) => sign(algorithm, bytes, secret).toString('hex') };
}

const idOf = (shown: RoleKey['shown']): string => createHash('sha256').update(canonicalJson(shown)).digest('hex');

/** Canonical JSON (OLPC): members sorted, no spaces, only `\` and `"` escaped, whole numbers only. */
export function canonicalJson(value: unknown): string {
  if (typeof value === 'string') return `"${value.replaceAll(/[\\"]/g, '\\$&')}"`;
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${members.map(([name, member]) => `${canonicalJson(name)}:${canonicalJson(member)}`).join(',')}}`;
}
