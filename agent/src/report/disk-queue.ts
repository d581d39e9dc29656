import type { Clock } from '../ports.ts';

/** A disk that takes this long has not failed, but nobody can wait for it: reports go on without it. */
export const HANGS_AFTER_MS = 10_000;

export class DiskHangError extends Error {
  override readonly name = 'DiskHangError';
  readonly code = 'disk_hangs';
}

export interface DiskQueueEvents {
  /** A write failed, takes too long, or was left out because the disk hangs. */
  failed(cause: unknown): void;
  /** A write is done. */
  done(): void;
  /** The disk is back: writes what was left out meanwhile. */
  recover(): Promise<void>;
}

/**
 * Runs writes one after the other. While one of them hangs, others are left out rather than queued: memory stays
 * bounded, and no report waits behind a dying disk.
 * @returns what runs a write; resolves, after `then`, when it is done, has failed or was left out
 */
export function createDiskQueue(
  clock: Pick<Clock, 'sleep'>,
  events: DiskQueueEvents,
): (work: () => Promise<void>, then?: () => void) => Promise<void> {
  let last: Promise<void> = Promise.resolve();
  let hangs = false;
  const ended = (): void => {
    if (!hangs) return;
    hangs = false;
    void inOrder(() => events.recover());
  };
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    if (hangs) return events.failed(new DiskHangError('The disk still hangs'));
    const over = new AbortController();
    const running = work()
      .then(
        () => hangs || events.done(),
        (cause: unknown) => events.failed(cause),
      )
      .then(() => over.abort())
      .then(ended);
    const late = clock.sleep(HANGS_AFTER_MS, over.signal).then(() => {
      if (over.signal.aborted) return;
      hangs = true;
      events.failed(new DiskHangError(`The disk has not answered for ${HANGS_AFTER_MS} ms`));
    });
    await Promise.race([running, late]);
  };
  const inOrder = (work: () => Promise<void>, then?: () => void): Promise<void> =>
    (last = last.then(() => attempt(work)).then(then));
  return inOrder;
}
