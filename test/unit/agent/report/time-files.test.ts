import { parseStatus, STATUS_FILE, type ClockStatus } from '@paddock/agent/clock/clock-status.ts';
import { parseTime, TIME_FILE } from '@paddock/agent/clock/time-file.ts';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { openTimeFiles } from '@paddock/agent/report/time-files.ts';
import { uptimeMs, wallMs, type WallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock, until } from '../../../harness/agent/fake-clock.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { afterPowerCut, RecordingFiles, type Safeguard } from '../../../harness/agent/power-cut.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** What a file that is replaced stands on. */
const REPLACING: readonly Safeguard[] = [
  'sync of what replaces',
  'rename over the old file',
  'sync of the name that was replaced',
];
const LOG = { debug() {}, info() {}, warn() {}, error() {} };

async function opened() {
  const [clock, disk] = [new FakeClock(), new MemoryDisk()];
  const files = await openTimeFiles({ clock, disk, log: LOG });
  const exchanged = async (): Promise<void> => {
    const bound = { at: clock.monotonic(), wall: clock.truth() };
    const anchor = { segment: 0, lower: bound, upper: bound };
    const status: ClockStatus = { bootId: 'boot', anchor, exchangedAt: bound.at, roundTripMs: 5 };
    files.exchanged(clock.truth(), status);
    await clock.advance(0);
  };
  const writes = (file: string): number => disk.writes.filter(({ path }) => path === file).length;
  return { clock, disk, files, exchanged, writes };
}

describe('the files of trusted time', () => {
  it('are written sparingly: for the next boot once a day, for the doctor once an hour', async () => {
    const { clock, exchanged, writes } = await opened();
    // An exchange every five minutes, for three days.
    for (let i = 0; i < (72 * HOUR) / (5 * MINUTE); i += 1) {
      await exchanged();
      // The hash in the file is worked out on a thread: virtual time must not pass meanwhile.
      const hours = Math.floor((i * 5 * MINUTE) / HOUR);
      await until(() => writes(STATUS_FILE) > hours, `the status of hour ${hours}`);
      await clock.advance(5 * MINUTE);
    }
    expect(writes(TIME_FILE)).toBe(3);
    expect(writes(STATUS_FILE)).toBe(72);
  });

  it('gather no writes while the disk hangs', async () => {
    const { clock, disk, files, exchanged, writes } = await opened();
    const back = disk.hang();
    for (let i = 0; i < 50; i += 1) {
      await exchanged();
      await clock.advance(HOUR);
    }
    expect(disk.hanging).toBeLessThanOrEqual(1);
    back();
    await files.close(clock.truth());
    expect(writes(TIME_FILE)).toBe(2);
    expect(await parseTime(disk.files.get(TIME_FILE) ?? null)).toBe(clock.truth());
    expect(parseStatus(disk.files.get(STATUS_FILE) ?? null)?.exchangedAt).toBe(uptimeMs(1_000));
  });

  it('survive a power cut at any call of the file system, and not without the safeguards', async () => {
    expect(await cutWhileKeeping(null)).toEqual([]);
    for (const safeguard of REPLACING) expect(await cutWhileKeeping(safeguard)).not.toEqual([]);
  });
});

/** Keeps two times, one after the other. @returns every state after a power cut that the next boot must not find */
async function cutWhileKeeping(omitted: Safeguard | null): Promise<string[]> {
  const [clock, files] = [new FakeClock(), new RecordingFiles(omitted)];
  const disk = await openDisk('/data', files);
  const times = [clock.truth(), wallMs(clock.truth() + 25 * HOUR)];
  const wrong: string[] = [];
  let before: WallMs | 'missing' = 'missing';
  for (const time of times) {
    const from = files.changes.length;
    await (await openTimeFiles({ clock, disk, log: LOG })).close(time);
    for (let count = from; count <= files.changes.length; count += 1) {
      for (const left of afterPowerCut(files.changes, count)) {
        const found = await parseTime(left.get(`/data/${TIME_FILE}`) ?? null);
        const isDone = count === files.changes.length;
        if (found !== time && (isDone || found !== before)) wrong.push(`cut ${count}: ${found}`);
      }
    }
    before = time;
  }
  return wrong;
}
