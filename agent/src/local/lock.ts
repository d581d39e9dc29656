import type { Clock } from '../ports.ts';
import { LOCK_ERRORS, type LockError, type LockHolder, type UpdateLock } from '../update/lock.ts';
import { codeOf } from '../report/log.ts';
import { createAllowance, LOCK_TAKES } from './budget.ts';
import { LocalError } from './problem.ts';
import type { ShownLock } from './state.ts';

/** The HTTP status of why a lock could not be taken or let go. */
const STATUSES = {
  lock_invalid: 400,
  lock_held: 409,
  lock_not_held: 409,
  lock_update_running: 409,
} as const satisfies Record<keyof typeof LOCK_ERRORS, number>;

/** What {@link problemReply} needs of it. */
export const lockProblem = ({ code, message }: LockError) => ({
  code,
  status: STATUSES[code],
  title: LOCK_ERRORS[code],
  detail: message === LOCK_ERRORS[code] ? undefined : message.slice(LOCK_ERRORS[code].length + 2),
});

/** The lock's own file, or the one by which programs take turns. */
const isOfDisk = (cause: unknown): cause is Error =>
  cause instanceof Error && ('syscall' in cause || codeOf(cause) === 'data_dir_unusable');

/** The update lock for the kiosk's own software: one after the other, or two could both find it free and take it. */
export class LocalLock {
  readonly #lock: UpdateLock;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #hasRoom = createAllowance(LOCK_TAKES);
  #last: Promise<unknown> = Promise.resolve();

  constructor(lock: UpdateLock, clock: Pick<Clock, 'monotonic'>) {
    this.#lock = lock;
    this.#clock = clock;
  }

  async shown(): Promise<ShownLock | null> {
    const holder = await this.#lock.holder();
    return holder && this.#show(holder);
  }

  /** @throws LockError, LocalError `too_many_lock_takes`, `lock_unkept` */
  async take(owner: string, reason: string, ms: number): Promise<ShownLock> {
    return this.#show(await this.#inTurn(() => this.#take(owner, reason, ms)));
  }

  /** Whoever asks for what another one holds costs the disk nothing, and may ask as often as for anything else. */
  async #take(owner: string, reason: string, ms: number): Promise<LockHolder> {
    const held = await this.#lock.holder();
    const isWritten = held === null || held.owner === owner;
    if (isWritten && !this.#hasRoom(this.#clock.monotonic()))
      throw new LocalError('too_many_lock_takes', undefined, { retryAfterSeconds: 1 / LOCK_TAKES.perSecond });
    return this.#lock.take(owner, reason, ms);
  }

  /** @throws LockError, LocalError `lock_unkept` */
  release(owner: string): Promise<void> {
    return this.#inTurn(() => this.#lock.release(owner));
  }

  #show({ owner, reason, until }: LockHolder): ShownLock {
    return { owner, reason, leftMs: Math.max(0, Math.round(until - this.#clock.monotonic())) };
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work).catch((cause: unknown) => {
      if (!isOfDisk(cause)) throw cause;
      throw new LocalError('lock_unkept', cause.message, { retryAfterSeconds: 1 });
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}
