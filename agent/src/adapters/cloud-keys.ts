import { readFile } from 'node:fs/promises';
import { importVerificationKey, type KeySet, type VerificationKey } from '@paddock/shared/keys.ts';

export class CloudKeysError extends Error {
  override readonly name = 'CloudKeysError';
  readonly code: 'cloud_keys_missing' | 'cloud_keys_invalid';
  constructor(code: CloudKeysError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/**
 * Reads the cloud's online keys, pinned at registration: a JWK Set (RFC 7517).
 * @throws CloudKeysError
 */
export async function readCloudKeys(path: string): Promise<VerificationKey[]> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    const advice = "save the JWK Set that the registration gave as this file (the cloud's /api/v1/cloud-keys shows it)";
    throw new CloudKeysError('cloud_keys_missing', `There are no cloud keys at ${path}: ${advice}`, { cause });
  });
  try {
    const { keys } = JSON.parse(text) as KeySet;
    const imported = await Promise.all(keys.map((jwk) => importVerificationKey(jwk)));
    if (imported.length > 0) return imported;
  } catch (cause) {
    throw new CloudKeysError('cloud_keys_invalid', `${path} is not a JWK Set of P-256 or Ed25519 keys`, { cause });
  }
  throw new CloudKeysError('cloud_keys_invalid', `${path} holds no key`);
}
