import { stat } from 'node:fs/promises';
import type { PKCS11 } from 'pkcs11js';
import type addon from 'pkcs11js';
import { refusalOf, saidBy, TokenError } from './error.ts';

/** pkcs11.h of PKCS#11 3.0 in numbers: the addon brings names for 2.40 only, where Ed25519 is missing. */
export const CK = {
  flag: { rwSession: 0x2, serialSession: 0x4, osLockingOk: 0x2 },
  tokenFlag: { loginRequired: 0x4, pinFinalTry: 0x20000, pinLocked: 0x40000 },
  user: 1,
  class: { publicKey: 2, privateKey: 3 },
  attribute: {
    class: 0x0,
    token: 0x1,
    private: 0x2,
    label: 0x3,
    keyType: 0x100,
    id: 0x102,
    sensitive: 0x103,
    sign: 0x108,
    verify: 0x10a,
    extractable: 0x162,
    ecParams: 0x180,
    ecPoint: 0x181,
  },
  mechanism: {
    ecKeyPairGen: 0x1040,
    ecdsa: 0x1041,
    ecdsaSha256: 0x1044,
    edwardsKeyPairGen: 0x1055,
    eddsa: 0x1057,
  },
  keyType: { ec: 0x3, edwards: 0x40 },
} as const;

/** A PKCS#11 library that was loaded and initialized. */
export interface TokenModule {
  readonly calls: PKCS11;
  /** What the library says it is. */
  readonly description: string;
  /** Ends and begins anew: some libraries look for tokens then only. Every session and handle is lost with it. */
  again(): void;
  /** Every session of this process with the library ends. Never throws. */
  close(): void;
}

/**
 * Loads the native addon and with it the library, which is code that runs in this process from then on.
 * Meant once for each library and process: both sides of PKCS#11 keep their state by process.
 * @throws TokenError `addon_missing`, `module_missing`, `module_invalid`, `module_failed`
 */
export async function openModule(path: string): Promise<TokenModule> {
  const native = (await loadAddon()).default;
  await stat(path).catch((cause: unknown) => {
    throw new TokenError(
      'module_missing',
      `There is no PKCS#11 library at ${path}: install it, or correct key.pkcs11.module`,
      { cause },
    );
  });
  const calls = new native.PKCS11();
  load(calls, path);
  initialize(calls, path);
  return {
    calls,
    description: describe(calls, path),
    again() {
      finalize(calls);
      initialize(calls, path);
    },
    close: () => finalize(calls),
  };
}

/** The addon is machine code that is compiled when it is installed, so there are machines without it. */
async function loadAddon(): Promise<{ default: typeof addon }> {
  try {
    return await import('pkcs11js');
  } catch (cause) {
    throw new TokenError(
      'addon_missing',
      'A key on a token needs the native addon pkcs11js, which is not there or was not built: install g++, make and python3, then "npm rebuild pkcs11js", or "npm install" where it is missing',
      { cause },
    );
  }
}

function load(calls: PKCS11, path: string): void {
  try {
    calls.load(path);
  } catch (cause) {
    throw new TokenError('module_invalid', `${path} is no PKCS#11 library of this machine: ${saidBy(cause)}`, {
      cause,
    });
  }
}

function initialize(calls: PKCS11, path: string): void {
  try {
    // Signing runs on threads of the pool, everything else on the main one.
    calls.C_Initialize({ flags: CK.flag.osLockingOk });
  } catch (cause) {
    if (refusalOf(cause) === 'CKR_CRYPTOKI_ALREADY_INITIALIZED') return;
    const advice = 'look into its own configuration and log, and whether this user may read them';
    throw new TokenError('module_failed', `${path} does not start (${saidBy(cause)}): ${advice}`, { cause });
  }
}

function finalize(calls: PKCS11): void {
  try {
    calls.C_Finalize();
  } catch {
    // It was not initialized, or its token is gone: there is nothing left to end.
  }
}

function describe(calls: PKCS11, path: string): string {
  const { libraryDescription, manufacturerID, libraryVersion } = calls.C_GetInfo();
  const name = [manufacturerID, libraryDescription].map((text) => text.trim()).filter(Boolean);
  return `${name.join(', ') || path} ${libraryVersion.major}.${libraryVersion.minor}`;
}
