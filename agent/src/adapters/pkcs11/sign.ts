import { createHash, verify, type KeyObject } from 'node:crypto';
import type { Handle, PKCS11 } from 'pkcs11js';
import { asTokenError, TokenError } from './error.ts';
import type { TokenKey } from './key.ts';

/** r and s, 32 bytes each, or R and S of Ed25519. */
const SIGNATURE_BYTES = 64;
/** Some libraries write more than they say they need. */
const ROOM_BYTES = 512;

/** What a call on another thread reads and writes: the addon itself holds on to none of it. */
const held = new Set<Buffer>();

/**
 * One signature, made on a thread of the pool, and checked: a token that errs must not cost a report.
 * @throws TokenError `token_failed`, `signature_wrong`
 */
export async function signOnToken(
  calls: PKCS11,
  { session, key, publicKey }: { session: Handle; key: TokenKey; publicKey: KeyObject },
  bytes: Uint8Array,
): Promise<Uint8Array> {
  const isEcdsa = key.curve.kind === 'P-256';
  const input = isEcdsa && !key.hashes ? createHash('sha256').update(bytes).digest() : Buffer.from(bytes);
  const signature = await signHeld(calls, session, key, input);
  const hash = isEcdsa ? 'sha256' : null;
  if (
    signature.length !== SIGNATURE_BYTES ||
    !verify(hash, bytes, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
  )
    throw new TokenError('signature_wrong', 'A signature that the token made does not verify with its public key');
  return new Uint8Array(signature);
}

async function signHeld(calls: PKCS11, session: Handle, key: TokenKey, input: Buffer): Promise<Buffer> {
  const output = Buffer.alloc(ROOM_BYTES);
  held.add(input).add(output);
  try {
    calls.C_SignInit(session, { mechanism: key.mechanism }, key.handle);
    return await calls.C_SignAsync(session, input, output);
  } catch (cause) {
    throw asTokenError('token_failed', 'The token did not sign', cause);
  } finally {
    held.delete(input);
    held.delete(output);
  }
}
