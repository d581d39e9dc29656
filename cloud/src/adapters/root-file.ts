import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';

/** A fleet root that cannot be used, with its stable code. */
export class RootFileError extends Error {
  override readonly name = 'RootFileError';
  readonly code: 'root_missing' | 'root_unreadable' | 'passphrase_weak' | 'passphrase_unreadable';
  constructor(code: RootFileError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Shorter ones are found by trying. */
const MIN_PASSPHRASE = 12;

/** A passphrase is the first line of a file, so that no command line holds it. @throws RootFileError */
export async function readPassphrase(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new RootFileError('passphrase_unreadable', `The passphrase cannot be read from ${file}`, { cause });
  });
  const [line = ''] = text.split('\n');
  const passphrase = line.replace(/\r$/, '');
  checkPassphrase(passphrase, `the first line of ${file}`);
  return passphrase;
}

/** @throws RootFileError `passphrase_weak` */
export function checkPassphrase(passphrase: string, what: string): void {
  if (passphrase.length < MIN_PASSPHRASE)
    throw new RootFileError('passphrase_weak', `${what} has to have ${MIN_PASSPHRASE} characters or more`);
}

/** Writes a root that was in the clear so that only who knows the passphrase can use it (PKCS#8, scrypt, AES-256). */
export async function exportRoot(from: string, to: string, passphrase: string): Promise<void> {
  await writeEncrypted(to, await readRoot(from), passphrase);
}

/** A new root: the next list names it, sealed by the one before. */
export async function makeRoot(to: string, passphrase: string): Promise<void> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  await writeEncrypted(to, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), passphrase);
}

/**
 * A P-256 key in the clear, PKCS#8.
 * @throws RootFileError `root_missing`, `root_unreadable` (another kind of file, another passphrase, another key)
 */
export async function readRoot(file: string, passphrase?: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new RootFileError('root_missing', `There is no fleet root in ${file}`, { cause });
  });
  try {
    const key = createPrivateKey({ key: text, ...(passphrase !== undefined && { passphrase }) });
    if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw new Error('it is no P-256 key');
    return key.export({ type: 'pkcs8', format: 'pem' }).toString();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new RootFileError('root_unreadable', `${file} cannot be used (${why}): is the passphrase right?`, { cause });
  }
}

/** Nobody's file is written over. */
async function writeEncrypted(to: string, pem: string, passphrase: string): Promise<void> {
  const key = createPrivateKey(pem);
  const encrypted = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString();
  await writeFile(to, encrypted, { mode: 0o600, flag: 'wx', flush: true });
}
