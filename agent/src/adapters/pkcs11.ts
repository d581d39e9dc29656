import { createPublicKey, randomBytes, type KeyObject } from 'node:crypto';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { Clock, Signer } from '../ports.ts';
import type { KeyKind } from './pkcs11/curve.ts';
import { TokenError } from './pkcs11/error.ts';
import { findKey, makeKey, worded, type KeyName, type TokenKey } from './pkcs11/key.ts';
import { createTokenLife, type TokenNotices } from './pkcs11/life.ts';
import { openModule, type TokenModule } from './pkcs11/module.ts';
import { createRefusals, type Refusals } from './pkcs11/pin.ts';
import { nameOf, openSession, type TokenPlace, type TokenSession } from './pkcs11/session.ts';
import { signOnToken } from './pkcs11/sign.ts';

/** How a key on a token is configured. */
export interface TokenSettings extends TokenPlace, KeyName {
  /** The PKCS#11 library. */
  readonly module: string;
  /** What kind of key is made where there is none. */
  readonly kind: KeyKind;
}

export interface TokenParts extends TokenNotices {
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  /** A file that remembers which writing of the PIN file was refused. */
  readonly refusalsFile: string;
}

/** An identity key that lives on a token. */
export interface TokenDeviceKey {
  readonly signer: Signer;
  readonly public: VerificationKey;
  /** What the doctor tells of it. */
  readonly about: { readonly module: string; readonly token: string; readonly extractable: boolean };
  readonly close: () => void;
}

/** Where a key is, in words. */
export const tokenPlace = (settings: TokenSettings): string =>
  `key ${worded(settings)} on ${nameOf(settings)} of ${settings.module}`;

/**
 * Makes the key pair on the token unless there is one.
 * @returns whether it was made now
 * @throws TokenError
 */
export const ensureTokenKey = (settings: TokenSettings, { refusalsFile }: TokenParts): Promise<boolean> =>
  withModule(settings.module, async (module) => {
    const token = await openSession(module.calls, settings, createRefusals(refusalsFile));
    const made = await findKey(module.calls, token, settings).then(
      () => false,
      async (cause: unknown) => {
        if (!(cause instanceof TokenError) || cause.code !== 'key_missing') throw cause;
        await makeKey(module.calls, token, settings, settings.kind);
        return true;
      },
    );
    module.close();
    return made;
  });

/**
 * Opens the key that signs from now on, and tries it once. One at a time for each library and process.
 * @throws TokenError
 */
export const openTokenKey = (settings: TokenSettings, parts: TokenParts): Promise<TokenDeviceKey> =>
  withModule(settings.module, async (module) => {
    const refusals = createRefusals(parts.refusalsFile);
    const attached = await attach(module, settings, refusals);
    const { public: publicPart, curve, extractable } = attached.key;
    await tryOut(module, attached);
    const sign = createTokenLife(attached, {
      ...parts,
      open: () => attachAgain(module, settings, refusals, publicPart),
      use: (opened, bytes) => signOnToken(module.calls, opened, bytes),
    });
    return {
      signer: { algorithm: curve.algorithm, keyId: publicPart.keyId, sign },
      public: publicPart,
      about: { module: module.description, token: attached.description, extractable },
      close: () => module.close(),
    };
  });

/** A library that could not be used is ended, so that the next try finds the tokens that are there then. */
async function withModule<T>(path: string, work: (module: TokenModule) => Promise<T>): Promise<T> {
  const module = await openModule(path);
  try {
    return await work(module);
  } catch (cause) {
    module.close();
    throw cause;
  }
}

/** A key that is ready to sign. */
interface Attached extends TokenSession {
  readonly key: TokenKey;
  readonly publicKey: KeyObject;
}

async function attach(module: TokenModule, settings: TokenSettings, refusals: Refusals): Promise<Attached> {
  const token = await openSession(module.calls, settings, refusals);
  const key = await findKey(module.calls, token, settings);
  return { ...token, key, publicKey: createPublicKey({ key: key.public.jwk, format: 'jwk' }) };
}

/** Begins anew with the library, which may know the tokens of its start only. The key has to be the same. */
async function attachAgain(
  module: TokenModule,
  settings: TokenSettings,
  refusals: Refusals,
  { thumbprint }: VerificationKey,
): Promise<Attached> {
  module.again();
  const attached = await attach(module, settings, refusals);
  if (attached.key.public.thumbprint === thumbprint) return attached;
  throw new TokenError('key_changed', `The ${tokenPlace(settings)} is not the one that this agent started with`);
}

/** A private key and a public one may be of two pairs, under one name. */
async function tryOut(module: TokenModule, attached: Attached): Promise<void> {
  try {
    await signOnToken(module.calls, attached, randomBytes(32));
  } catch (cause) {
    if (!(cause instanceof TokenError) || cause.code !== 'signature_wrong') throw cause;
    throw new TokenError('key_public_missing', 'The public key on the token does not belong to the private one', {
      cause,
    });
  }
}
