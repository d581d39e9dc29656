import { createPrivateKey, createPublicKey, sign } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { TlsKey } from '../../ports.ts';

export class TlsKeyError extends Error {
  override readonly name = 'TlsKeyError';
  readonly code = 'tls_key_invalid';
}

/**
 * The key of the device's TLS certificate: P-256, PKCS#8 PEM.
 * @throws TlsKeyError, or what reading the file throws
 */
export async function readTlsKey(path: string): Promise<TlsKey> {
  const pem = await readFile(path, 'utf8');
  try {
    const key = createPrivateKey(pem);
    const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' });
    return { pem, publicKey, sign: (bytes) => sign('sha256', bytes, key) };
  } catch (cause) {
    throw new TlsKeyError(`${path} is not a private key in PKCS#8 PEM: delete it, and it is made anew`, { cause });
  }
}
