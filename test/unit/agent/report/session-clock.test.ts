import { FakeCloud } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { SessionBench } from '../../../harness/agent/session.ts';
import { exchanged, trusted, widthOf } from '../../../harness/agent/exchanging.ts';
import { formatTime, parseTime, TIME_FILE } from '@paddock/agent/clock/time-file.ts';
import { makeTestKey } from '../../../harness/signing.ts';
import { parseStatus, STATUS_FILE } from '@paddock/agent/clock/clock-status.ts';
import { until } from '../../../harness/agent/fake-clock.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';

const MINUTE = 60_000;

describe('trusted time on the disk', () => {
  const keptOn = async (disk: MemoryDisk) => parseTime(disk.files.get(TIME_FILE) ?? null);
  const writesOf = (disk: MemoryDisk): number => disk.writes.filter(({ path }) => path === TIME_FILE).length;

  it('is written with the first exchange and at the end', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    await until(() => writesOf(bench.disk) === 1, 'it is written');
    await bench.clock.advance(5 * MINUTE);
    const stopped = bench.session.stop();
    await bench.arrivals(bench.unseen + 1);
    await bench.clock.advance(100);
    await stopped;
    expect(writesOf(bench.disk)).toBe(2);
    const kept = Number(await keptOn(bench.disk));
    expect(kept).toBeLessThanOrEqual(bench.clock.truth());
    expect(bench.clock.truth() - kept).toBeLessThan(1_000);
  });

  it('is corrected when it lies in the future', async () => {
    const disk = new MemoryDisk();
    disk.files.set(TIME_FILE, await formatTime(wallMs(Date.UTC(2060, 0, 1))));
    const bench = await SessionBench.start({}, disk);
    await exchanged(bench);
    await until(() => writesOf(disk) === 1, 'it is written');
    expect(await keptOn(disk)).toBeLessThan(Date.UTC(2026, 10, 24));
  });

  it.each([
    ['empty', new Uint8Array()],
    ['foreign', new Uint8Array(48)],
    ['damaged', new TextEncoder().encode('2060-01-01T00:00:00.000Z AAAAAAAAAAAAAAAAAAAAAA\n')],
  ])('is no floor when it is %s, which is said', async (loss, content) => {
    const disk = new MemoryDisk();
    disk.files.set(TIME_FILE, content);
    const bench = await SessionBench.start({}, disk);
    expect(bench.codes()).toContain(`trusted_time_${loss}`);
    expect(trusted(bench)).toEqual({ earliest: Date.UTC(2026, 10, 1), latest: null });
  });

  it('costs nothing but the floor of the next boot when the disk fails', async () => {
    const bench = await SessionBench.start();
    bench.disk.failNext(1);
    await exchanged(bench);
    await until(() => bench.codes().includes('trusted_time_unkept'), 'it is said');
    expect(widthOf(bench)).toBeLessThan(50);
  });

  it('shows programs beside the agent what is known', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    await until(() => bench.disk.files.has(STATUS_FILE), 'the status');
    expect(parseStatus(bench.disk.files.get(STATUS_FILE) ?? null)).toMatchObject({
      bootId: bench.cloud.received[0]?.report.boot.id,
      exchangedAt: 1_040,
      roundTripMs: 40,
    });
  });
});

describe('the system clock', () => {
  const stepped = async (wallClock: SessionBench['wallClock'], wall: number): Promise<SessionBench> => {
    const bench = new SessionBench(await FakeCloud.create(await makeTestKey()), new MemoryDisk());
    bench.wallClock = wallClock;
    bench.clock.setWall(wall);
    await bench.begin();
    await exchanged(bench);
    return bench;
  };
  const TRUTH = Date.UTC(2026, 10, 23) + 40;

  it('is not touched unless that is configured', async () => {
    expect((await stepped(null, 0)).clock.wall()).toBe(40);
  });

  it.each([
    [0, 1],
    [Date.UTC(2035, 0, 1), 1],
    [Date.UTC(2026, 10, 23) + 900, 0],
    [Date.UTC(2026, 10, 23) - 900, 0],
    [Date.UTC(2026, 10, 23) + 1_100, 1],
  ])('is set from %d when it is wrong by more than a second', async (wall, times) => {
    const told: number[] = [];
    const bench = await stepped({ set: (to) => void told.push(to) }, wall);
    expect(told).toHaveLength(times);
    for (const to of told) expect(Math.abs(to - TRUTH)).toBeLessThan(40);
    expect(bench.codes().includes('clock_set')).toBe(times > 0);
  });

  it('stays as it is when the process may not set it, which is said', async () => {
    const set = (): void => {
      throw Object.assign(new Error('no'), { code: 'clock_set_refused' });
    };
    const bench = await stepped({ set }, 0);
    expect(bench.codes()).toContain('clock_set_refused');
    expect(widthOf(bench)).toBeLessThan(50);
  });
});

describe('the moment of an event', () => {
  it('is told by how long the event had to wait', async () => {
    const bench = await (await SessionBench.start()).connected();
    const at = bench.clock.monotonic();
    await bench.clock.advance(18);
    bench.event('card-swipe', {}, at);
    const { report } = await bench.next();
    expect(report.trigger).toMatchObject({ kind: 'event', agoMs: 18 });
    bench.event('card-swipe', {});
    expect((await bench.next()).report.trigger).not.toHaveProperty('agoMs');
  });

  it('is not told across a suspend', async () => {
    const bench = await (await SessionBench.start()).connected();
    const at = bench.clock.monotonic();
    await bench.clock.advance(18);
    bench.event('card-swipe', {}, at);
    // Before its report is made.
    bench.clock.suspend(1_000);
    expect((await bench.next()).report.trigger).not.toHaveProperty('agoMs');
  });
});
