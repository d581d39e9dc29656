import { join } from 'node:path';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { ensureKeyFile, readKeyFile } from './adapters/file-key.ts';
import { isPassing } from './adapters/pkcs11/life.ts';
import { ensureTokenKey, openTokenKey, tokenPlace, type TokenDeviceKey, type TokenParts } from './adapters/pkcs11.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { AgentConfig } from './config.ts';
import type { Clock, Signer } from './ports.ts';
import { codeOf, type Log } from './report/log.ts';

/** The device's identity key, wherever it lives. */
export interface IdentityKey {
  readonly signer: Signer;
  /** The public part, as the cloud registers it. */
  readonly public: VerificationKey;
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

const partsOf = ({ dataDir }: Place, clock: Clock): TokenParts => ({
  clock,
  refusalsFile: join(dataDir, 'pin-refused'),
});

const noticesTo = (log: Log): Pick<TokenParts, 'lost' | 'back'> => ({
  lost: (error) =>
    log.error({ code: error.code, err: error }, 'The token with the identity key was lost: nothing can be signed'),
  back: () => log.info({ code: 'token_back' }, 'The token with the identity key is back'),
});
