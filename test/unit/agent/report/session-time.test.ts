import { DEVICE, SessionBench } from '../../../harness/agent/session.ts';
import { FakeCloud, type Received } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { answered, exchanged, routine, trusted, widthOf } from '../../../harness/agent/exchanging.ts';
import { formatTime, TIME_FILE } from '@paddock/agent/clock/time-file.ts';
import { makeTestKey } from '../../../harness/signing.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { type Exchange } from '@paddock/shared/report.ts';
import { until } from '../../../harness/agent/fake-clock.ts';
import { describe, expect, it } from 'vitest';

const MINUTE = 60_000;

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

  it('puts off no exchange: the next routine report asks when the last real one is old', async () => {
    const cloud = await FakeCloud.create(await makeTestKey());
    const before = await SessionBench.start({}, new MemoryDisk(), cloud);
    before.event('card-swipe', {});
    await until(() => before.held.length === 2, 'the event is held');
    const bench = await SessionBench.start({ start: 2 }, before.disk.copy(), cloud);
    await exchanged(bench);
    const event = await bench.next();
    // The last of what an earlier start left is answered half an hour later.
    await bench.clock.advance(29 * MINUTE);
    await bench.answer(event);
    const asks = (): boolean => bench.session.outbox().held.some(({ start, nonce }) => start === 2 && nonce !== null);
    expect(asks()).toBe(false);
    await bench.clock.advance(MINUTE);
    bench.tick();
    await bench.clock.advance(0);
    await until(asks, 'it asks');
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

  it('of an epoch that is over tells no time, and lets go of nothing', async () => {
    const bench = await SessionBench.start({ leastEpoch: () => 7 });
    bench.link.connect();
    const opening = await bench.next();
    await bench.answer(opening, { desired: { epoch: 6, version: 0 } });
    await until(() => bench.codes().includes('answer_epoch_old'), 'refused');
    expect(trusted(bench).latest).toBeNull();
    expect(bench.held).toContain(opening.report.sequence);
    await bench.answer(opening, { desired: { epoch: 7, version: 0 } });
    await until(() => !bench.held.includes(opening.report.sequence), 'that of the epoch is taken');
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
    expect(bench.codes()).not.toContain('answer_expired');
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
