import { createPublicKey } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { JWK } from 'jose';

export class KeyFileError extends Error {
  override readonly name = 'KeyFileError';
  readonly code: 'key_private' | 'key_unreadable';
  constructor(code: KeyFileError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * A public key as people hand it over: a file with a JWK or PEM (SubjectPublicKeyInfo), or the JWK itself.
 * @throws KeyFileError `key_private` for a private key, which has no business leaving its device; `key_unreadable`
 */
export async function readPublicKey(fileOrJwk: string): Promise<JWK> {
  const text = fileOrJwk.trimStart().startsWith('{') ? fileOrJwk : await contentOf(fileOrJwk);
  if (text.includes('PRIVATE KEY')) throw privateKey();
  const jwk = text.includes('-----BEGIN') ? fromPem(text) : fromJson(text);
  if ('d' in jwk) throw privateKey();
  return jwk;
}

const privateKey = (): KeyFileError =>
  new KeyFileError('key_private', 'This is a private key: it stays on the device. Give the public key.');

async function contentOf(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new KeyFileError('key_unreadable', `Cannot read the key file ${file}`, { cause });
  }
}

function fromPem(text: string): JWK {
  try {
    return createPublicKey(text).export({ format: 'jwk' });
  } catch (cause) {
    throw new KeyFileError('key_unreadable', 'The PEM is not a public key', { cause });
  }
}

function fromJson(text: string): JWK {
  try {
    const jwk: unknown = JSON.parse(text);
    if (typeof jwk === 'object' && jwk !== null && !Array.isArray(jwk)) return { ...jwk };
  } catch (cause) {
    throw new KeyFileError('key_unreadable', 'The key is neither PEM nor a JWK', { cause });
  }
  throw new KeyFileError('key_unreadable', 'The JWK is not an object');
}
