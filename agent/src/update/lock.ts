import { sha256Base64url } from '@paddock/shared/base64url.ts';
import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import type { Clock, Disk } from '../ports.ts';
import { readJournal } from './journal.ts';

export const LOCK_FILE = 'update-lock.json';
/** A use of a kiosk that takes longer has to say so again: an owner that died is forgotten after this time. */
export const LONGEST_LOCK_MS = 4 * 60 * 60_000;

/** Why a lock could not be taken or let go. */
export const LOCK_ERRORS = {
  lock_invalid: 'An owner, a reason and a time up to four hours make a lock',
  lock_held: 'Somebody else holds the lock',
  lock_not_held: 'This owner does not hold the lock',
  lock_update_running: 'The device is just changing what it runs',
} as const satisfies Record<string, string>;

export class LockError extends Error {
  override readonly name = 'LockError';
  readonly code: keyof typeof LOCK_ERRORS;
  constructor(code: LockError['code'], detail?: string) {
    super(detail === undefined ? LOCK_ERRORS[code] : `${LOCK_ERRORS[code]}: ${detail}`);
    this.code = code;
  }
}

const Word = Type.String({ minLength: 1, maxLength: 128 });
const Shape = Type.Object({
  owner: Word,
  reason: Word,
  /** By uptime, so that no clock that jumps holds it for ever, and only in this boot, which a dead owner does not survive. */
  bootId: Type.String(),
  untilMs: Type.Number({ minimum: 0 }),
});
type Kept = Static<typeof Shape>;

export interface LockHolder {
  readonly owner: string;
  readonly reason: string;
  readonly until: UptimeMs;
}

/** Nobody is interrupted while somebody holds it. */
export interface UpdateLock {
  /** @returns null when nobody does */
  holder(): Promise<LockHolder | null>;
  /**
   * Takes it, or takes it for longer when this owner has it.
   * @throws LockError `lock_invalid`, `lock_held`, `lock_update_running`
   */
  take(owner: string, reason: string, ms: number): Promise<LockHolder>;
  /** @throws LockError `lock_not_held` */
  release(owner: string): Promise<void>;
}

export interface LockParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly disk: Disk;
  readonly bootId: string;
  /** One of all who change the lock at a time; absent where nobody else does. */
  readonly inTurn?: <T>(work: () => Promise<T>) => Promise<T>;
}

/** The lock as a file, so that it outlives the agent and other programs of the machine can take it. */
export function openUpdateLock({ clock, disk, bootId, inTurn = (work) => work() }: LockParts): UpdateLock {
  const holder = async (): Promise<LockHolder | null> => {
    const kept = await readLock(disk);
    const now = clock.monotonic();
    // Longer than anybody may ask for: written by no agent.
    const isOver =
      kept === null || kept.bootId !== bootId || now >= kept.untilMs || kept.untilMs > now + LONGEST_LOCK_MS;
    return isOver ? null : { owner: kept.owner, reason: kept.reason, until: uptimeMs(kept.untilMs) };
  };
  const take: UpdateLock['take'] = async (owner, reason, ms) => {
    const before = await holder();
    if (before !== null && before.owner !== owner)
      throw new LockError('lock_held', `${before.owner}, ${before.reason}`);
    const kept: Kept = { owner, reason, bootId, untilMs: clock.monotonic() + ms };
    if (!Check(Shape, kept) || !(ms > 0 && ms <= LONGEST_LOCK_MS)) throw new LockError('lock_invalid');
    await writeLock(disk, kept);
    // An update writes down that it is armed before it looks at the lock for the last time: one of the two sees the other.
    if (before === null && (await isChanging(disk))) {
      await disk.remove(LOCK_FILE);
      throw new LockError('lock_update_running');
    }
    return { owner, reason, until: uptimeMs(kept.untilMs) };
  };
  const release: UpdateLock['release'] = async (owner) => {
    if ((await holder())?.owner !== owner) throw new LockError('lock_not_held', owner);
    await disk.remove(LOCK_FILE);
  };
  return {
    holder,
    take: (...of) => inTurn(() => take(...of)),
    release: (owner) => inTurn(() => release(owner)),
  };
}

async function isChanging(disk: Disk): Promise<boolean> {
  const { state, watch } = (await readJournal(disk)).journal;
  // What ran before the last commit is tried for the cloud's sake: it ends by itself, whoever uses the kiosk then.
  const isTried = watch !== null && watch.phase !== 'new';
  return isTried || ['armed', 'switched', 'trial', 'rolling-back'].includes(state);
}

async function readLock(disk: Disk): Promise<Kept | null> {
  const [line = '', check = ''] = new TextDecoder()
    .decode((await disk.read(LOCK_FILE)) ?? new Uint8Array())
    .split('\n');
  if (line === '' || check !== (await checkOf(line))) return null;
  const value: unknown = JSON.parse(line);
  return Check(Shape, value) ? value : null;
}

async function writeLock(disk: Disk, kept: Kept): Promise<void> {
  const line = JSON.stringify(kept);
  await disk.replace(LOCK_FILE, new TextEncoder().encode(`${line}\n${await checkOf(line)}\n`));
}

/** Tells damage, not forgery: the file is the device's own. */
const checkOf = async (line: string): Promise<string> =>
  (await sha256Base64url(`paddock-update-lock ${line}`)).slice(0, 22);
