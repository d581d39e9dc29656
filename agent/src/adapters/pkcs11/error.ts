/** Everything that can be wrong with a key on a token, and when. */
export const TOKEN_ERRORS = {
  addon_missing: 'the native addon pkcs11js is not installed, or was not built',
  module_missing: 'there is no file at `module`',
  module_invalid: 'the file at `module` is no PKCS#11 library of this machine',
  module_failed: 'the library does not start',
  token_missing: 'no token with this label, or nothing in this slot',
  token_ambiguous: 'several tokens have this label',
  token_failed: 'the token refused something, or is gone; it is opened again',
  token_silent: 'the token has not answered for 30 s; nothing else is asked of it until it does',
  pin_file_missing: '`pinFile` cannot be read',
  pin_file_readable: 'other users can read or write `pinFile`, or it is theirs',
  pin_file_invalid: '`pinFile` does not hold one line of 1 to 255 bytes',
  pin_refused: 'the token refused the PIN; it is not tried again until `pinFile` was written again',
  pin_locked: 'the PIN is locked, or one more mistake would lock it; it is not tried',
  key_missing: 'no private key with this label or id; `paddock-agent init` makes one',
  key_ambiguous: 'several private keys have this label or id',
  key_unsupported: 'the key is neither P-256 nor Ed25519, may not sign, or the token has no mechanism for it',
  key_public_missing: 'the token does not hold the public part of the key, or one that does not fit',
  key_changed: 'the token came back with another key; restart the agent if that is meant',
  key_not_made: 'the token did not make the key',
  signature_wrong: 'a signature of the token did not verify, and was not used',
} as const satisfies Record<string, string>;

export type TokenErrorCode = keyof typeof TOKEN_ERRORS;

export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly code: TokenErrorCode;
  constructor(code: TokenErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The name of the CKR code that a library refused with; null when it was something else that failed. */
export const refusalOf = (cause: unknown): string | null =>
  cause instanceof Error && /^CKR_\w+$/.test(cause.message) ? cause.message : null;

/** What was thrown, in one line. Neither the addon nor a library puts a PIN into it. */
export const saidBy = (cause: unknown): string =>
  (cause instanceof Error ? cause.message : String(cause)).split('\n', 1)[0] ?? '';

/** Runs calls of a library; what it refuses becomes `code`, what is coded already stays. */
export function coded<T>(code: TokenErrorCode, what: string, calls: () => T): T {
  try {
    return calls();
  } catch (cause) {
    throw asTokenError(code, what, cause);
  }
}

export function asTokenError(code: TokenErrorCode, what: string, cause: unknown): TokenError {
  return cause instanceof TokenError ? cause : new TokenError(code, `${what}: ${saidBy(cause)}`, { cause });
}
