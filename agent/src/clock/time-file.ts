import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { fromInstant, INSTANT_PATTERN, toInstant, type UptimeMs, type WallMs } from '@paddock/shared/time.ts';

/** The last trusted time, for the next boot: one line, an instant and a check over it. */
export const TIME_FILE = 'trusted-time';

/** Why there is no floor to go on from. */
export type TimeLoss = 'missing' | 'empty' | 'foreign' | 'damaged';

const LINE = new RegExp(`^(${INSTANT_PATTERN.slice(1, -1)}) ([A-Za-z0-9_-]{22})\n?$`);
const DAY_MS = 86_400_000;
/** A floor that is later than true time by more than this is corrected. */
const WRONG_BY_MS = 60_000;

export async function formatTime(at: WallMs): Promise<Uint8Array> {
  const instant = toInstant(at);
  return new TextEncoder().encode(`${instant} ${await checkOf(instant)}\n`);
}

/** Believes nothing but what was written by {@link formatTime}, whole. */
export async function parseTime(bytes: Uint8Array | null): Promise<WallMs | TimeLoss> {
  if (bytes === null) return 'missing';
  if (bytes.length === 0) return 'empty';
  const [, instant, , , , check] = LINE.exec(new TextDecoder().decode(bytes)) ?? [];
  if (instant === undefined) return 'foreign';
  return check === (await checkOf(instant)) ? fromInstant(instant) : 'damaged';
}

const checkOf = async (instant: string): Promise<string> =>
  (await sha256Base64url(`paddock-trusted-time ${instant}`)).slice(0, 22);

/** What the disk holds, and when this process wrote it; null when it did not. */
export interface Kept {
  readonly wall: WallMs | null;
  readonly writtenAt: UptimeMs | null;
}

/** Sparingly, because a kiosk's disk wears out: once a day of uptime at most, and only when it says something new. */
export const isWorthKeeping = ({ wall, writtenAt }: Kept, earliest: WallMs, now: UptimeMs): boolean =>
  (writtenAt === null || now - writtenAt >= DAY_MS) &&
  (wall === null || earliest - wall >= DAY_MS || wall - earliest > WRONG_BY_MS);

/** At the end of a start, too. */
export const isWorthKeepingAtLast = ({ wall }: Kept, earliest: WallMs): boolean =>
  wall === null || Math.abs(earliest - wall) > WRONG_BY_MS;
