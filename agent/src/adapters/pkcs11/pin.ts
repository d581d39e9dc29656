import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { TokenError } from './error.ts';

/** Bits of group and others. */
const NOT_OWNER = 0o077;
const MAX_PIN_BYTES = 255;

/** A PIN as it was read, and which writing of its file that was. */
export interface Pin {
  readonly pin: string;
  /** Changes with every writing of the file, and says nothing of what is in it. */
  readonly writing: string;
}

/**
 * Reads the PIN: the file's only line.
 * @throws TokenError `pin_file_missing`, `pin_file_readable`, `pin_file_invalid`
 */
export async function readPin(path: string): Promise<Pin> {
  const status = await stat(path, { bigint: true }).catch((cause: unknown) => {
    throw new TokenError('pin_file_missing', `There is no PIN at ${path}: write it there, mode 0600`, { cause });
  });
  checkOwner(path, Number(status.mode), Number(status.uid));
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new TokenError('pin_file_missing', `${path} cannot be read: chown it to the agent's user`, { cause });
  });
  const pin = text.replace(/\r?\n$/, '');
  if (pin === '' || /[\r\n\0]/.test(pin) || Buffer.byteLength(pin) > MAX_PIN_BYTES)
    throw new TokenError('pin_file_invalid', `${path} has to hold one line of 1 to ${MAX_PIN_BYTES} bytes: the PIN`);
  return { pin, writing: `${status.ino}-${status.mtimeNs}-${status.size}` };
}

function checkOwner(path: string, mode: number, owner: number): void {
  const readable = (mode & NOT_OWNER) !== 0;
  const foreign = owner !== 0 && owner !== process.getuid?.();
  if (!readable && !foreign) return;
  const octal = (mode & 0o777).toString(8).padStart(4, '0');
  const what = readable ? `has mode ${octal}: chmod 600 ${path}` : `belongs to user ${owner}: chown it to the agent's`;
  throw new TokenError('pin_file_readable', `Others can read the PIN, ${path} ${what}`);
}

/** Remembers which writing of a PIN file was refused: a token locks after a few wrong ones. */
export interface Refusals {
  /** @returns whether this very writing was refused before, in this process or an earlier one */
  has(pin: Pin): Promise<boolean>;
  add(pin: Pin): Promise<void>;
  clear(): Promise<void>;
}

/** @param file where it is kept: a supervisor that starts the agent again and again must not try again either */
export function createRefusals(file: string): Refusals {
  let refused: string | null = null;
  return {
    async has({ writing }) {
      refused ??= await readFile(file, 'utf8').catch(() => null);
      return refused?.trim() === writing;
    },
    async add({ writing }) {
      refused = writing;
      // A disk that takes nothing must not hide why the token cannot be used.
      await writeFile(file, `${writing}\n`, { flush: true })
        .then(() => chmod(file, 0o600))
        .catch(() => {});
    },
    async clear() {
      if (refused === null) return;
      refused = null;
      await rm(file, { force: true });
    },
  };
}
