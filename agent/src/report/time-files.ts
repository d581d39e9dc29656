import type { UptimeMs, WallMs } from '@paddock/shared/time.ts';
import { formatStatus, STATUS_FILE, type ClockStatus } from '../clock/clock-status.ts';
import {
  formatTime,
  isWorthKeeping,
  isWorthKeepingAtLast,
  parseTime,
  TIME_FILE,
  type Kept,
} from '../clock/time-file.ts';
import type { Clock, Disk } from '../ports.ts';
import { createQuiet, type Log } from './log.ts';

/** Trusted time on the disk: for the next boot, and for programs beside the agent. */
export interface TimeFiles {
  /** What an earlier start left; null when that is nothing that can be believed. */
  readonly kept: WallMs | null;
  /** Writes what is worth it, and waits for nothing. @param earliest what trusted time is at least, now */
  exchanged(earliest: WallMs, status: ClockStatus): void;
  /** Writes for the last time. @param earliest null when no exchange was made */
  close(earliest: WallMs | null): Promise<void>;
}

/** How often the status is written at most. */
const STATUS_EVERY_MS = 60 * 60_000;

const LOSSES = {
  empty: 'The file of trusted time is empty',
  foreign: 'The file of trusted time is none of ours',
  damaged: 'The file of trusted time is damaged',
} as const;

/** A disk that fails costs the next boot its floor, and nothing else. */
export async function openTimeFiles(parts: {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly disk: Disk;
  readonly log: Log;
}): Promise<TimeFiles> {
  const { clock, disk, log } = parts;
  const found = await disk.read(TIME_FILE).then(parseTime);
  if (typeof found === 'string' && found !== 'missing')
    log.warn({ code: `trusted_time_${found}` }, `${LOSSES[found]}: there is no floor but the time of the build`);
  let kept: Kept = { wall: typeof found === 'string' ? null : found, writtenAt: null };
  let shownAt: UptimeMs | null = null;
  const quiet = createQuiet(clock);
  const failed = (cause: unknown): void =>
    quiet((times) => log.warn({ code: 'trusted_time_unkept', times, err: cause }, 'Trusted time cannot be kept'));
  const keep = async (wall: WallMs): Promise<void> => {
    await disk.replace(TIME_FILE, await formatTime(wall));
    kept = { wall, writtenAt: clock.monotonic() };
  };
  const show = async (status: ClockStatus): Promise<void> => {
    await disk.replace(STATUS_FILE, formatStatus(status));
    shownAt = clock.monotonic();
  };
  let writing: Promise<void> | null = null;
  return {
    kept: kept.wall,
    exchanged(earliest, status) {
      // A disk that hangs must not gather writes.
      if (writing !== null) return;
      const now = clock.monotonic();
      const work = async (): Promise<void> => {
        if (isWorthKeeping(kept, earliest, now)) await keep(earliest);
        if (shownAt === null || now - shownAt >= STATUS_EVERY_MS) await show(status);
      };
      writing = work()
        .catch(failed)
        .finally(() => void (writing = null));
    },
    async close(earliest) {
      await writing;
      if (earliest !== null && isWorthKeepingAtLast(kept, earliest)) await keep(earliest).catch(failed);
    },
  };
}
