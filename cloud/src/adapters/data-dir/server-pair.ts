import { readFile } from 'node:fs/promises';
import type { TlsIdentity } from '../../ports.ts';
import { DataDirError, readSecret } from '../data-dir.ts';

/**
 * A server certificate that somebody else keeps, as it stands now.
 * @throws DataDirError `secret_readable`, `server_key_missing`, and what reading the certificate throws
 */
export async function readServerPair(files: { readonly cert: string; readonly key: string }): Promise<TlsIdentity> {
  const key = await readSecret(files.key);
  if (key === null) throw new DataDirError('server_key_missing', `There is no ${files.key}`);
  return { key, cert: await readFile(files.cert, 'utf8') };
}
