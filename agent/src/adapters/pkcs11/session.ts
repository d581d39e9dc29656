import type { Handle, PKCS11, TokenInfo } from 'pkcs11js';
import { asTokenError, coded, refusalOf, TokenError } from './error.ts';
import { CK } from './module.ts';
import { readPin, type Pin, type Refusals } from './pin.ts';

/** Where the token is, by its label or by the number of its slot, and the file with its PIN. */
export interface TokenPlace {
  readonly token?: string;
  readonly slot?: number;
  readonly pinFile: string;
}

/** A session on a token, with its user logged in. */
export interface TokenSession {
  readonly session: Handle;
  readonly slot: Handle;
  /** Label, maker, model and serial number of the token. */
  readonly description: string;
}

const PIN_REFUSED = ['CKR_PIN_INCORRECT', 'CKR_PIN_INVALID', 'CKR_PIN_LEN_RANGE', 'CKR_PIN_EXPIRED'];

/**
 * Finds the token, opens a session and logs in. Who ends the library ends the session.
 * @throws TokenError about the token or the PIN
 */
export async function openSession(calls: PKCS11, place: TokenPlace, refusals: Refusals): Promise<TokenSession> {
  const { slot, info } = coded('token_failed', 'The tokens cannot be listed', () => findToken(calls, place));
  const flags = CK.flag.serialSession | CK.flag.rwSession;
  const what = `${nameOf(place)} cannot be opened`;
  const session = coded('token_failed', what, () => calls.C_OpenSession(slot, flags));
  if ((info.flags & CK.tokenFlag.loginRequired) !== 0) await logIn(calls, { session, info }, place, refusals);
  const description = [info.label, info.manufacturerID, info.model, info.serialNumber].map(plain);
  return { session, slot, description: description.filter(Boolean).join(', ') };
}

function findToken(calls: PKCS11, place: TokenPlace): { slot: Handle; info: TokenInfo } {
  const tokens = calls.C_GetSlotList(true).flatMap((slot) => tokenIn(calls, slot));
  const found = tokens.filter(({ slot, info }) =>
    place.slot === undefined ? plain(info.label) === place.token : numberOf(slot) === BigInt(place.slot),
  );
  const [only] = found;
  const there = tokens.map(({ slot, info }) => `"${plain(info.label)}" in slot ${numberOf(slot)}`).join(', ') || 'none';
  if (only === undefined) throw new TokenError('token_missing', `There is no ${nameOf(place)}; there is ${there}`);
  if (found.length > 1)
    throw new TokenError('token_ambiguous', `Several tokens are called so, name one by key.pkcs11.slot: ${there}`);
  return only;
}

/** A token may be pulled between the list and the question. */
function tokenIn(calls: PKCS11, slot: Handle): { slot: Handle; info: TokenInfo }[] {
  try {
    return [{ slot, info: calls.C_GetTokenInfo(slot) }];
  } catch (cause) {
    if (refusalOf(cause) === null) throw cause;
    return [];
  }
}

/** Fields are padded with spaces as the standard says, or with zeros as some do. */
const plain = (field: string): string => field.replaceAll('\0', ' ').trim();

export const nameOf = ({ token, slot }: Pick<TokenPlace, 'token' | 'slot'>): string =>
  slot === undefined ? `token "${token ?? ''}"` : `token in slot ${slot}`;

/** A handle is a CK_ULONG in the machine's own order: every machine of ours is little-endian. */
const numberOf = (handle: Handle): bigint =>
  handle.length === 8 ? handle.readBigUInt64LE() : BigInt(handle.readUInt32LE());

/** A PIN that was refused once is not tried again: after a few wrong ones a token locks itself, some for ever. */
async function logIn(
  calls: PKCS11,
  { session, info }: { session: Handle; info: TokenInfo },
  { pinFile }: TokenPlace,
  refusals: Refusals,
): Promise<void> {
  const pin = await readPin(pinFile);
  if (await refusals.has(pin)) throw pinRefused(pinFile, 'was refused before and is not tried again');
  if ((info.flags & CK.tokenFlag.pinLocked) !== 0) throw pinLocked('is locked');
  if ((info.flags & CK.tokenFlag.pinFinalTry) !== 0) throw pinLocked('has one try left, which is not used up here');
  try {
    calls.C_Login(session, CK.user, pin.pin);
  } catch (cause) {
    await judgeLogin(cause, pin, pinFile, refusals);
  }
  await refusals.clear();
}

async function judgeLogin(cause: unknown, pin: Pin, pinFile: string, refusals: Refusals): Promise<void> {
  const refusal = refusalOf(cause);
  if (refusal === 'CKR_USER_ALREADY_LOGGED_IN') return;
  if (refusal === 'CKR_PIN_LOCKED') throw pinLocked('is locked', cause);
  if (refusal === null || !PIN_REFUSED.includes(refusal))
    throw asTokenError('token_failed', 'The token does not log in', cause);
  await refusals.add(pin);
  throw pinRefused(pinFile, `was refused (${refusal})`, cause);
}

const pinRefused = (pinFile: string, what: string, cause?: unknown): TokenError =>
  new TokenError('pin_refused', `The PIN in ${pinFile} ${what}: write the right one there`, { cause });

const pinLocked = (what: string, cause?: unknown): TokenError =>
  new TokenError(
    'pin_locked',
    `The PIN of the token ${what}: unlock it as its officer, or wait where the lock ends by itself`,
    { cause },
  );
