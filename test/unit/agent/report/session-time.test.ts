import { formatTime, parseTime, TIME_FILE } from '@paddock/agent/clock/time-file.ts';
import { parseStatus, STATUS_FILE } from '@paddock/agent/clock/clock-status.ts';
import type { Exchange } from '@paddock/shared/report.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { describe, expect, it } from 'vitest';
import { until } from '../../../harness/agent/fake-clock.ts';
import { FakeCloud, type Received } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { DEVICE, SessionBench } from '../../../harness/agent/session.ts';
import { makeTestKey } from '../../../harness/signing.ts';

const MINUTE = 60_000;

/** What the device knows of the time now. */
const trusted = ({ clock, time }: SessionBench) => time.at({ at: clock.monotonic(), segment: clock.segment() });

/** The truth, and how wide the interval is around it; null when it does not hold the truth. */
function widthOf(bench: SessionBench): number | null {
  const { earliest, latest } = trusted(bench);
  const truth = bench.clock.truth();
  return latest !== null && earliest <= truth && truth <= latest ? latest - earliest : null;
}

/** Connects; the answer to the opening report comes after so much time. */
async function exchanged(bench: SessionBench, tripMs = 40): Promise<Received> {
  bench.link.connect();
  const opening = await bench.next();
  await bench.clock.advance(tripMs);
  await answered(bench, opening);
  return opening;
}

async function answered(bench: SessionBench, to: Received, change: Parameters<SessionBench['answer']>[1] = {}) {
  await bench.answer(to, change);
  await until(() => !bench.held.includes(to.report.sequence), 'it is covered');
}

/** A routine report after so long. */
async function routine(bench: SessionBench, afterMs: number): Promise<Received> {
  await bench.clock.advance(afterMs - 5);
  bench.tick();
  await bench.clock.advance(5);
  return bench.next();
}

describe('the first exchange of a boot', () => {
  it.each([
    ['in 1970', 0],
    ['in 2035', Date.UTC(2035, 0, 1)],
    ['right', Date.UTC(2026, 10, 23)],
  ])('gives the right time to a device whose clock is %s', async (_what, wall) => {
    for (const kept of [null, Date.UTC(2001, 0, 1), Date.UTC(2060, 0, 1)]) {
      const disk = new MemoryDisk();
      if (kept !== null) disk.files.set(TIME_FILE, await formatTime(wallMs(kept)));
      const bench = new SessionBench(await FakeCloud.create(await makeTestKey()), disk);
      bench.clock.setWall(wall);
      await bench.begin();
      expect(trusted(bench)).toEqual({ earliest: Math.max(kept ?? 0, Date.UTC(2026, 10, 1)), latest: null });
      await exchanged(bench);
      expect(widthOf(bench)).toBeLessThan(50);
      expect(bench.clock.wall()).toBe(wall + 40);
    }
  });

  it('holds however the wall clock jumps afterwards', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    for (const wall of [0, Date.UTC(2035, 0, 1), Date.UTC(2026, 10, 22)]) {
      bench.clock.setWall(wall);
      await bench.clock.advance(MINUTE);
      expect(widthOf(bench)).toBeLessThan(200);
    }
  });

  it('is stamped at the arrival of the answer, however many wait to be verified before it', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const opening = await bench.next();
    await bench.clock.advance(40);
    const answer = await bench.cloud.answer(opening);
    for (let i = 0; i < 60; i += 1) bench.link.deliver(topicOf('answer', DEVICE), answer.slice(0, -4));
    bench.link.deliver(topicOf('answer', DEVICE), answer);
    // Nothing has been verified yet, and when it is, it is much later.
    bench.clock.skip(5_000);
    await until(() => bench.held.length === 0, 'it is covered');
    const { report } = await routine(bench, MINUTE);
    expect(report.exchanges).toMatchObject([{ requestUptimeMs: 1_000, responseUptimeMs: 1_040 }]);
  });
});

describe('an exchange on its way to the cloud', () => {
  it('is in the next report, and once more in the next that asks unless an answer covers the first', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    const exchange: Exchange = {
      requestUptimeMs: 1_000,
      responseUptimeMs: 1_040,
      receivedAt: toInstant(wallMs(Date.UTC(2026, 10, 23) + 40)),
      sentAt: toInstant(wallMs(Date.UTC(2026, 10, 23) + 40)),
    };
    expect((await routine(bench, 5 * MINUTE)).report.exchanges).toEqual([exchange]);
    expect((await routine(bench, 5 * MINUTE)).report.exchanges).toBeUndefined();
    bench.event('card-swipe', {});
    const event = await bench.next();
    expect(event.report.exchanges).toEqual([exchange]);
    await answered(bench, event);
    bench.event('card-swipe', {});
    expect((await bench.next()).report.exchanges).toHaveLength(1);
  });

  it('is of the first sending, whichever copy was answered', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const opening = await bench.next();
    await bench.clock.advance(30_000);
    await bench.next();
    await bench.clock.advance(40);
    await answered(bench, opening);
    const { report } = await routine(bench, 5 * MINUTE);
    expect(report.exchanges).toMatchObject([{ requestUptimeMs: 1_000, responseUptimeMs: 31_040 }]);
  });

  it('is asked for sooner after a poor one', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench, 8_000);
    const next = await routine(bench, 5 * MINUTE - 8_000);
    expect(next.report.ask).toBeDefined();
    await bench.clock.advance(20);
    await answered(bench, next);
    const asks: boolean[] = [];
    for (let i = 0; i < 6; i += 1) asks.push((await routine(bench, 5 * MINUTE)).report.ask !== undefined);
    expect(asks).toEqual([false, false, false, false, false, true]);
  });

  it('is dropped by a suspend, and the floor is what was certain before it', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    bench.clock.suspend(3_600_000);
    expect(trusted(bench)).toEqual({ earliest: Date.UTC(2026, 10, 23) + 40, latest: null });
    const { report } = await routine(bench, 5 * MINUTE);
    expect(report.segment).toBe(1);
    expect(report.exchanges).toBeUndefined();
  });
});

describe('an answer that is no exchange', () => {
  const CASES: readonly [string, (bench: SessionBench, opening: Received) => Promise<unknown>, string][] = [
    [
      'was sent before its report was received',
      (bench, opening) => answered(bench, opening, { receivedAt: toInstant(wallMs(bench.clock.truth() + 1)) }),
      'exchange_backwards',
    ],
    [
      'was held by the cloud for longer than it took',
      (bench, opening) => {
        const sentAt = bench.clock.truth();
        const expiresAt = toInstant(wallMs(sentAt + 300_000));
        return answered(bench, opening, { receivedAt: toInstant(wallMs(sentAt - 1_000)), expiresAt });
      },
      'exchange_contradicts',
    ],
    [
      'comes after a suspend',
      (bench, opening) => {
        bench.clock.suspend(500);
        return answered(bench, opening);
      },
      'exchange_suspended',
    ],
  ];

  it.each(CASES)('when it %s: it settles its reports, tells no time and says why', async (_what, deliver, code) => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const opening = await bench.next();
    await bench.clock.advance(40);
    await deliver(bench, opening);
    expect(bench.codes()).toContain(code);
    expect(trusted(bench).latest).toBeNull();
    expect((await routine(bench, MINUTE)).report.exchanges).toBeUndefined();
  });

  it('when it is to a report of an earlier start: nobody knows when that was sent first', async () => {
    const cloud = await FakeCloud.create(await makeTestKey());
    const before = await SessionBench.start({}, new MemoryDisk(), cloud);
    before.event('card-swipe', {});
    await until(() => before.held.length === 2, 'the event is held');
    const bench = await SessionBench.start({ start: 2 }, before.disk.copy(), cloud);
    await exchanged(bench);
    const event = await bench.next();
    expect(event.report).toMatchObject({ start: 1, trigger: { kind: 'event' } });
    // A better one than the first, if it were one.
    await bench.clock.advance(5);
    await answered(bench, event);
    const { report } = await routine(bench, 2 * MINUTE);
    expect(report.exchanges).toMatchObject([{ requestUptimeMs: 1_000, responseUptimeMs: 1_040 }]);
  });

  it('when it comes twice, or again much later', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const opening = await bench.next();
    await bench.clock.advance(40);
    const answer = await bench.cloud.answer(opening);
    for (let i = 0; i < 2; i += 1) bench.link.deliver(topicOf('answer', DEVICE), answer);
    await until(() => bench.codes().includes('answer_unawaited'), 'the second one');
    const moment = { at: bench.clock.monotonic(), segment: 0 };
    const known = bench.time.at(moment);
    await bench.clock.advance(MINUTE);
    bench.link.deliver(topicOf('answer', DEVICE), answer);
    await until(() => bench.codes().filter((code) => code === 'answer_unawaited').length === 2, 'the third one');
    expect(bench.time.at(moment)).toEqual(known);
    expect((await routine(bench, MINUTE)).report.exchanges).toHaveLength(1);
  });

  it('when 64 wait before it: it is not read, which is said, and its report is sent again', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const opening = await bench.next();
    const answer = await bench.cloud.answer(opening);
    for (let i = 0; i < 64; i += 1) bench.link.deliver(topicOf('answer', DEVICE), 'noise');
    bench.link.deliver(topicOf('answer', DEVICE), answer);
    expect(bench.codes()).toEqual(['answer_flood']);
    await bench.clock.advance(30_000);
    await answered(bench, await bench.next());
    expect(widthOf(bench)).not.toBeNull();
  });
});

describe('a forged answer', () => {
  it.each([
    ['with another nonce', { nonce: 'bbbbbbbbbbb' }, 'answer_mismatch'],
    ['without its nonce', { nonce: undefined }, 'answer_mismatch'],
    ['with another digest', { digest: 'A'.repeat(43) }, 'answer_unawaited'],
    ['of another incarnation', { incarnation: 'bbbbbbbbbbb' }, 'answer_mismatch'],
    ['for another device', { device: 'kiosk-0002' }, 'device_mismatch'],
    ['that has expired', { expiresAt: '2026-11-22T23:59:59.000Z' }, 'answer_expired'],
  ])('%s tells no time', async (_what, change, code) => {
    const bench = await SessionBench.start();
    bench.link.connect();
    await bench.answer(await bench.next(), { ...change, sentAt: '2035-01-01T00:00:00.000Z' });
    await until(() => bench.codes().includes(code), code);
    expect(trusted(bench)).toEqual({ earliest: Date.UTC(2026, 10, 1), latest: null });
  });

  it('by another key tells no time', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const forged = await bench.cloud.answer(await bench.next(), {}, await makeTestKey());
    bench.link.deliver(topicOf('answer', DEVICE), forged);
    await until(() => bench.codes().includes('key_unknown'), 'refused');
    expect(trusted(bench).latest).toBeNull();
  });
});

describe('the expiry of an answer', () => {
  /** An event that was sent long ago; its answer was made then and comes now, when the event was just sent again. */
  async function late(bench: SessionBench): Promise<{ event: Received; answer: string }> {
    bench.event('card-swipe', {});
    const event = await bench.next();
    const answer = await bench.cloud.answer(event);
    await bench.clock.advance(20 * MINUTE);
    return { event, answer };
  }

  it('is judged by trusted time', async () => {
    const bench = await SessionBench.start();
    await exchanged(bench);
    const { event, answer } = await late(bench);
    bench.link.deliver(topicOf('answer', DEVICE), answer);
    await until(() => bench.codes().includes('answer_expired'), 'refused');
    expect(bench.held).toContain(event.report.sequence);
    await answered(bench, event);
  });

  it('is judged by the last sending without trusted time', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    await bench.next();
    const { event, answer } = await late(bench);
    await until(() => bench.unseen > 0, 'it is sent again');
    bench.link.deliver(topicOf('answer', DEVICE), answer);
    await until(() => !bench.held.includes(event.report.sequence), 'it is covered');
  });

  it('is never judged by a clock that the cloud itself corrects: one wrong answer must not silence it', async () => {
    const bench = await SessionBench.start();
    bench.cloud.now = () => wallMs(bench.clock.truth() + 9 * 365 * 86_400_000);
    await exchanged(bench);
    expect(trusted(bench).earliest).toBeGreaterThan(Date.UTC(2035, 0, 1));
    bench.cloud.now = bench.clock.truth;
    bench.event('card-swipe', {});
    const event = await bench.next();
    await bench.clock.advance(40);
    await answered(bench, event);
    expect(bench.codes()).toContain('time_contradicted');
    expect(widthOf(bench)).toBeLessThan(50);
  });
});

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

  it.each([
    ['by the storm that it waits in', false],
    ['by nothing across a suspend', true],
  ])('is told %s', async (_what, suspended) => {
    const bench = await (await SessionBench.start()).connected();
    for (let i = 0; i < 70; i += 1) bench.event('card-swipe', { i });
    await bench.arrivals(64);
    if (suspended) bench.clock.suspend(1_000);
    await bench.clock.advance(400);
    const waited = await bench.arrivals(6);
    const ago = waited.map(({ report: { trigger } }) => (trigger.kind === 'event' ? trigger.agoMs : null));
    expect(ago.every((ms) => (suspended ? ms === undefined : Number(ms) > 0))).toBe(true);
  });
});
