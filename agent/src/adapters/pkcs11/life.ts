import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../../ports.ts';
import { asTokenError, TokenError, type TokenErrorCode } from './error.ts';

/** Who hears of a token that went, once for each loss, and that it is back. */
export interface TokenNotices {
  readonly lost?: (error: TokenError) => void;
  readonly back?: () => void;
}

export interface TokenLifeParts<Opened> extends TokenNotices {
  readonly clock: Pick<Clock, 'monotonic' | 'sleep'>;
  open(): Promise<Opened>;
  use(opened: Opened, bytes: Uint8Array): Promise<Uint8Array>;
}

/** After a loss one signature waits for the token this long, 3 s in all: a token that was reset is back by then. */
const PATIENCE_MS = [0, 250, 750, 2_000] as const;
/** It doubles with every try, those with patience included; then one is made by the next that wants a signature. */
const FIRST_REST_MS = 250;
const LONGEST_REST_MS = 60_000;
/** A token that takes longer hangs. */
const SILENT_AFTER_MS = 30_000;

/** What may pass by waiting a moment; everything else needs somebody. */
const PASSING: readonly TokenErrorCode[] = ['module_failed', 'token_missing', 'token_failed', 'signature_wrong'];
export const isPassing = (cause: unknown): cause is TokenError =>
  cause instanceof TokenError && PASSING.includes(cause.code);

/** What was lost, and until when it is not tried again. */
interface Away {
  readonly error: TokenError;
  readonly restMs: number;
  readonly until: UptimeMs;
}

interface Life<Opened> {
  opened: Opened | null;
  away: Away | null;
  /** A call has not come back: whatever else is asked of the library would hang as well, and with it the program. */
  hangs: boolean;
}

/**
 * Signs with what is open, one at a time, and opens it again after it failed: with patience at first, then with
 * growing rests between the tries. What is asked for during a rest fails at once with the reason.
 * @param first what is open already
 */
export function createTokenLife<Opened>(
  first: Opened,
  parts: TokenLifeParts<Opened>,
): (bytes: Uint8Array) => Promise<Uint8Array> {
  const life: Life<Opened> = { opened: first, away: null, hangs: false };
  let last: Promise<unknown> = Promise.resolve();
  return (bytes) => {
    const mine = last.then(() => sign(life, parts, bytes));
    last = mine.catch(() => {});
    return mine;
  };
}

async function sign<Opened>(life: Life<Opened>, parts: TokenLifeParts<Opened>, bytes: Uint8Array): Promise<Uint8Array> {
  const { away } = life;
  if (away !== null && (life.hangs || parts.clock.monotonic() < away.until)) throw away.error;
  const pauses = away === null ? PATIENCE_MS : [];
  for (const pause of pauses) {
    try {
      return await attempt(life, parts, bytes);
    } catch (cause) {
      if (!isPassing(cause)) throw cause;
    }
    await parts.clock.sleep(pause);
  }
  return attempt(life, parts, bytes);
}

async function attempt<Opened>(
  life: Life<Opened>,
  parts: TokenLifeParts<Opened>,
  bytes: Uint8Array,
): Promise<Uint8Array> {
  try {
    life.opened ??= await parts.open();
    const signature = await answered(life, parts.clock, parts.use(life.opened, bytes));
    if (life.away !== null) parts.back?.();
    life.away = null;
    return signature;
  } catch (cause) {
    throw lose(life, parts, cause);
  }
}

function lose<Opened>(life: Life<Opened>, { clock, lost }: TokenLifeParts<Opened>, cause: unknown): TokenError {
  const error = asTokenError('token_failed', 'The token failed', cause);
  const restMs = life.away === null ? FIRST_REST_MS : Math.min(life.away.restMs * 2, LONGEST_REST_MS);
  if (life.away === null) lost?.(error);
  life.away = { error, restMs, until: uptimeMs(clock.monotonic() + restMs) };
  life.opened = null;
  return error;
}

/** @throws TokenError `token_silent` when nothing came back in time */
async function answered(
  life: { hangs: boolean },
  clock: Pick<Clock, 'sleep'>,
  signing: Promise<Uint8Array>,
): Promise<Uint8Array> {
  const late = new AbortController();
  const silence = clock.sleep(SILENT_AFTER_MS, late.signal).then(() => null);
  try {
    const signature = await Promise.race([signing, silence]);
    if (signature !== null) return signature;
  } finally {
    late.abort();
  }
  life.hangs = true;
  const over = (): void => void (life.hangs = false);
  signing.then(over, over);
  throw new TokenError('token_silent', `The token has not answered for ${SILENT_AFTER_MS / 1000} s`);
}
