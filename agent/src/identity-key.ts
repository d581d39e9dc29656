import { basename, dirname, join } from 'node:path';
import { openDisk } from './adapters/disk.ts';
import { ensureKeyFile, readKeyFile } from './adapters/file-key.ts';
import { openKeyRing } from './adapters/file-key/ring.ts';
import { isPassing } from './adapters/pkcs11/life.ts';
import { ensureTokenKey, openTokenKey, tokenPlace, type TokenDeviceKey, type TokenParts } from './adapters/pkcs11.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import type { Clock, HeldKey, IdentityKeys } from './ports.ts';
import { codeOf, type Log } from './report/log.ts';

/** The device's identity key, wherever it lives. */
export interface IdentityKey extends HeldKey {
  /** What the token says of itself; null for a key in a file. */
  readonly token: TokenDeviceKey['about'] | null;
  /** Ends every session of this process with the token. */
  readonly close: () => void;
}

type Place = Pick<AgentConfig, 'key' | 'dataDir'>;

/** A token that is plugged in, or a daemon of a TPM, may come up after the agent. */
const START_PATIENCE_MS = [500, 1_000, 2_000, 4_000, 8_000, 15_000] as const;

/** Where the key lives, in words. */
export const keyPlace = ({ key }: Pick<AgentConfig, 'key'>): string =>
  key.pkcs11 === undefined ? `file ${key.file}` : tokenPlace(key.pkcs11);

/**
 * Makes the identity key where there is none.
 * @returns whether it was made now
 * @throws KeyFileError, TokenError
 */
export const ensureIdentityKey = (config: Place, clock: Clock = createSystemClock()): Promise<boolean> =>
  config.key.pkcs11 === undefined
    ? ensureKeyFile(config.key.file)
    : ensureTokenKey(config.key.pkcs11, partsOf(config, clock));

/** @throws KeyFileError, TokenError */
export async function openIdentityKey(
  config: Place,
  clock: Clock = createSystemClock(),
  log?: Log,
): Promise<IdentityKey> {
  const { key } = config;
  if (key.pkcs11 === undefined) return { ...(await readKeyFile(key.file)), token: null, close: () => {} };
  const opened = await openTokenKey(key.pkcs11, { ...partsOf(config, clock), ...(log && noticesTo(log)) });
  return { ...opened, token: opened.about };
}

/**
 * Opens the key that a running agent signs with. One in a file is made where there is none; on a token only `init`
 * makes one, because a token that was exchanged must not become another device unasked.
 * @throws KeyFileError, TokenError
 */
export async function startIdentityKey(config: Place, clock: Clock, log: Log): Promise<IdentityKey> {
  if (config.key.pkcs11 === undefined && (await ensureIdentityKey(config, clock)))
    log.info({ file: config.key.file }, 'Made the identity key');
  for (const pause of START_PATIENCE_MS) {
    try {
      return await openIdentityKey(config, clock, log);
    } catch (cause) {
      if (!isPassing(cause)) throw cause;
      log.warn({ code: codeOf(cause) }, `${cause.message}; tried again in ${pause} ms`);
    }
    await clock.sleep(pause);
  }
  return openIdentityKey(config, clock, log);
}

export class KeyChangeError extends Error {
  override readonly name = 'KeyChangeError';
  readonly code: 'key_on_token' | 'key_change_by_hand';
  constructor(code: KeyChangeError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** A key on a token is changed by naming another one: what is on a token is not ours to destroy. */
const onToken = ({ key }: Pick<AgentConfig, 'key'>): KeyChangeError =>
  new KeyChangeError(
    'key_on_token',
    `The ${keyPlace({ key })} cannot be changed by the agent: name a new label in key.pkcs11, stop the agent, run "paddock-agent init", start it, and let an operator approve the new fingerprint`,
  );

/**
 * The identity key with the one that may take its place.
 * @throws KeyFileError, and what the disk throws
 */
export async function openIdentityKeys({ key }: Pick<AgentConfig, 'key'>, current: HeldKey): Promise<IdentityKeys> {
  if (key.pkcs11 === undefined) return openKeyRing(await openDisk(dirname(key.file)), basename(key.file), current);
  const refuse = (): Promise<never> => Promise.reject(onToken({ key }));
  return { current: () => current, next: () => null, begin: refuse, finish: async () => {} };
}

/** @throws KeyChangeError when this device's key is not the agent's to change */
export function requireChangeableKey({ key, cloud }: Pick<AgentConfig, 'key' | 'cloud'>): void {
  if (key.pkcs11 !== undefined) throw onToken({ key });
  if (cloud.claim !== undefined || cloud.enrol !== undefined) return;
  throw new KeyChangeError(
    'key_change_by_hand',
    'This device was registered by hand: replace its key file, and register the new key with "paddock devices"',
  );
}

const partsOf = ({ dataDir }: Place, clock: Clock): TokenParts => ({
  clock,
  refusalsFile: join(dataDir, 'pin-refused'),
});

const noticesTo = (log: Log): Pick<TokenParts, 'lost' | 'back'> => ({
  lost: (error) =>
    log.error({ code: error.code, err: error }, 'The token with the identity key was lost: nothing can be signed'),
  back: () => log.info({ code: 'token_back' }, 'The token with the identity key is back'),
});
