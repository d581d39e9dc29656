import { describe, expect, it } from 'vitest';
import { DEVICE, SessionBench, triggersOf } from '../../../harness/agent/session.ts';
import { until } from '../../../harness/agent/fake-clock.ts';
import { FakeCloud } from '../../../harness/agent/fake-cloud.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { makeTestKey } from '../../../harness/signing.ts';
import { OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { topicOf } from '@paddock/shared/topics.ts';

describe('the schedule', () => {
  it('reports when cron says so, and asks when the last exchange is half an hour old', async () => {
    const bench = await (await SessionBench.start()).connected();
    const asked: boolean[] = [];
    for (let i = 0; i < 7; i += 1) {
      await bench.clock.advance(299_995);
      bench.tick();
      await bench.clock.advance(5);
      const received = await bench.next();
      asked.push(received.report.ask !== undefined);
      if (received.report.ask === undefined) continue;
      await bench.answer(received);
      await until(() => bench.held.length === 0, 'nothing is held');
    }
    expect(asked).toEqual([false, false, false, false, false, true, false]);
  });

  it('goes on by uptime when cron falls silent, as after a wall clock set back', async () => {
    const bench = await (await SessionBench.start()).connected();
    const { tick } = bench;
    await bench.clock.advance(320_000);
    expect((await bench.next()).report.trigger.kind).toBe('schedule');
    // It counts from the clock as it is now, and the one that waits for another time is gone.
    expect([bench.tick === tick, bench.schedules]).toEqual([false, 1]);
    bench.tick();
    await bench.clock.advance(0);
    expect((await bench.next()).report.trigger.kind).toBe('schedule');
  });
});

describe('urgent changes and events', () => {
  it('reports the first change at once and the last of a flurry at the end of the interval', async () => {
    const bench = await (await SessionBench.start()).connected();
    for (const sensor of ['door', 'lid', 'lock']) bench.urgent(sensor);
    expect((await bench.next()).report.trigger).toEqual({ kind: 'change', sensor: 'door' });
    await bench.clock.advance(999);
    expect(bench.unseen).toBe(0);
    await bench.clock.advance(1);
    expect((await bench.next()).report.trigger).toEqual({ kind: 'change', sensor: 'lock' });
    await bench.clock.advance(5_000);
    expect(bench.unseen).toBe(0);
  });

  it('has an event on the disk before it is sent, and off it when it is answered', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.disk.failNext(0);
    bench.event('card-swipe', { card: '04A1' });
    const { report, envelope } = await bench.next();
    expect(report.trigger).toEqual({ kind: 'event', name: 'card-swipe', data: { card: '04A1' } });
    expect(report.ask).toBeDefined();
    const file = new TextDecoder().decode(bench.disk.files.get(OUTBOX_FILE));
    expect(file).toContain(envelope);
  });

  it('sends an event even when the disk is full, and keeps it in memory', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.disk.failNext(1, 20, OUTBOX_FILE);
    bench.event('card-swipe', { card: '1' });
    await bench.next({ record: false });
    expect(bench.codes()).toContain('outbox_file_failed');
    bench.event('card-swipe', { card: '2' });
    await bench.next({ record: false });
    // The half line of the failure has harmed nothing: both events stand in the file.
    const { reports, faults } = parseOutbox(bench.disk.files.get(OUTBOX_FILE) ?? new Uint8Array(), DEVICE);
    expect([reports.length, [...faults]]).toEqual([2, [['outbox_damaged', 1]]]);
    expect(bench.held).toHaveLength(2);
  });

  it('tells an event whose data are too large without them, and says so once', async () => {
    const bench = await (await SessionBench.start()).connected();
    for (let i = 0; i < 2; i += 1) {
      bench.event('card-swipe', { card: 'x'.repeat(5_000) });
      expect((await bench.next()).report.trigger).toMatchObject({ name: 'card-swipe', data: { tooLarge: true } });
    }
    expect(bench.codes().filter((code) => code === 'event_data_too_large')).toHaveLength(1);
  });

  it('makes text that no database can hold storable', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.event('card-swipe', { card: 'a\0b\uD800' });
    expect((await bench.next()).report.trigger).toMatchObject({ data: { card: 'a\uFFFDb\uFFFD' } });
    bench.event('card-swipe', { 'c\0\uD800': '\\u0000', 'd😀': [] });
    expect((await bench.next()).report.trigger).toMatchObject({ data: { 'c\uFFFD\uFFFD': '\\u0000', 'd😀': [] } });
  });
});

describe('a connection that breaks', () => {
  it('opens again with a report that asks, then sends what the answer does not show', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.tick();
    await bench.clock.advance(0);
    await bench.next({ record: false });
    bench.link.cut();
    bench.tick();
    await bench.clock.advance(0);
    await until(() => bench.held.length === 2, 'two reports are held');
    await bench.clock.advance(60_000);
    bench.link.connect();
    const opening = await bench.next();
    expect(opening.report.trigger.kind).toBe('connect');
    expect(bench.unseen).toBe(0);
    await bench.answer(opening);
    await until(() => bench.unseen > 0, 'the first again');
    await bench.clock.advance(100);
    const again = await bench.arrivals(3);
    expect(again.map(({ report }) => [report.sequence, report.trigger.kind])).toEqual([
      [1, 'schedule'],
      [2, 'schedule'],
      [4, 'connect'],
    ]);
    await bench.answer(again[2] ?? opening);
    await until(() => bench.held.length === 0, 'nothing is held');
  });

  it('does not wait for an answer for ever', async () => {
    const bench = await SessionBench.start();
    await bench.clock.advance(60_000);
    await until(() => bench.held.length === 1, 'the boot report is held');
    bench.link.connect();
    await bench.next();
    await bench.clock.advance(9_900);
    expect(bench.unseen).toBe(0);
    await bench.clock.advance(200);
    expect((await bench.next()).report.trigger.kind).toBe('boot');
  });

  it('holds everything due again that was on its way, even when no answer comes', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.tick();
    await bench.clock.advance(0);
    await bench.next({ record: false });
    bench.link.cut();
    bench.link.connect();
    expect((await bench.next()).report.trigger.kind).toBe('connect');
    await bench.clock.advance(10_100);
    expect((await bench.next()).report).toMatchObject({ sequence: 1, trigger: { kind: 'schedule' } });
  });

  it('sends live reports in between', async () => {
    const bench = await SessionBench.start();
    await bench.clock.advance(60_000);
    bench.link.connect();
    await bench.next();
    bench.tick();
    await bench.clock.advance(0);
    expect((await bench.next()).report.trigger.kind).toBe('schedule');
  });
});

describe('answers', () => {
  it('sends again what the broker acknowledged and lost', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.loseNext(1);
    bench.event('card-swipe', { card: '1' });
    await until(() => bench.held.length === 1, 'the event is held');
    await bench.clock.advance(29_000);
    expect(bench.unseen).toBe(0);
    await bench.clock.advance(2_000);
    const event = await bench.next();
    expect(event.report.trigger.kind).toBe('event');
    await bench.answer(event);
    await until(() => bench.held.length === 0, 'nothing is held');
  });

  it.each([
    [
      'of another cloud',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), {}, await makeTestKey()),
      'key_unknown',
    ],
    [
      'to another device',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { device: 'kiosk-0002' }),
      'device_mismatch',
    ],
    [
      'with another nonce',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { nonce: 'bbbbbbbbbbb' }),
      'answer_mismatch',
    ],
    [
      'of another start',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { start: 2 }),
      'answer_mismatch',
    ],
    [
      'of another incarnation',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { incarnation: 'bbbbbbbbbbb' }),
      'answer_mismatch',
    ],
    [
      'without the nonce',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { nonce: undefined }),
      'answer_mismatch',
    ],
    [
      'to nothing that we sent',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { digest: 'A'.repeat(43) }),
      'answer_unawaited',
    ],
    ['that is a report', async (bench: SessionBench) => (await bench.next()).envelope, 'typ_mismatch'],
    ['that is noise', async () => 'noise', 'envelope_malformed'],
    [
      'of a future version',
      async (bench: SessionBench) => bench.cloud.answer(await bench.next(), { v: 2 }),
      'version_unsupported',
    ],
  ])('changes nothing when it is %s', async (_what, forge, code) => {
    const bench = await SessionBench.start();
    bench.link.connect();
    await until(() => bench.unseen === 1, 'the boot report');
    bench.link.deliver(topicOf('answer', DEVICE), await forge(bench));
    await until(() => bench.codes().includes(code), code);
    expect(bench.held).toEqual([0]);
  });

  it('changes nothing when its signature does not fit', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const answer = await bench.cloud.answer(await bench.next());
    const forged = answer.slice(0, -20) + (answer.at(-20) === 'A' ? 'B' : 'A') + answer.slice(-19);
    bench.link.deliver(topicOf('answer', DEVICE), forged);
    await until(() => bench.codes().includes('signature_invalid'), 'refused');
    expect(bench.held).toEqual([0]);
  });

  it('changes nothing when it comes after its expiry', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const boot = await bench.next();
    await bench.answer(boot, { expiresAt: '2026-11-22T23:59:59.000Z' });
    await until(() => bench.codes().includes('answer_expired'), 'refused');
    expect(bench.held).toEqual([0]);
  });

  it('lets a report go that the cloud could not even read', async () => {
    const bench = await SessionBench.start();
    bench.link.connect();
    const boot = await bench.next({ record: false });
    const rejected = [{ sequence: null, digest: boot.digest, code: 'payload_invalid' }];
    await bench.answer(boot, { incarnation: null, start: null, nonce: undefined, rejected });
    await until(() => bench.held.length === 0, 'it is let go');
    expect(bench.codes()).toContain('payload_invalid');
  });
});

describe('the end', () => {
  it('says goodbye last, and closes', async () => {
    const bench = await (await SessionBench.start()).connected();
    const stopped = bench.session.stop();
    const goodbye = await bench.next();
    await bench.clock.advance(100);
    await stopped;
    expect(goodbye.report.trigger.kind).toBe('shutdown');
    expect(goodbye.report.ask).toBeUndefined();
    expect(bench.link.closed).toBe(true);
  });

  it('asks nothing behind the goodbye, although a batch ends with it', async () => {
    const small = { outbox: { routineReports: 4, diskBytes: 65_536, maxAgeMs: 30 * 86_400_000 } };
    const bench = await (await SessionBench.start(small)).connected();
    bench.tick();
    await bench.clock.advance(0);
    await bench.next();
    const stopped = bench.session.stop();
    const goodbye = await bench.next();
    await bench.clock.advance(100);
    await stopped;
    expect(goodbye.report.trigger.kind).toBe('shutdown');
    expect(bench.unseen).toBe(0);
    expect(bench.session.outbox().newest()?.sequence).toBe(goodbye.report.sequence);
  });

  it('does not hang on a broker that does not acknowledge', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.publish = () => new Promise(() => {});
    const stopped = bench.session.stop();
    await until(() => bench.held.length > 0, 'the goodbye is held');
    await bench.clock.advance(3_100);
    await stopped;
    expect(bench.link.closed).toBe(true);
  });
});

describe('events of an earlier start', () => {
  const crashed = async (): Promise<{ bench: SessionBench; disk: MemoryDisk; cloud: FakeCloud }> => {
    const cloud = await FakeCloud.create(await makeTestKey());
    const bench = await SessionBench.start({}, new MemoryDisk(), cloud);
    await until(() => bench.held.length === 1, 'the boot report is held');
    for (const card of ['1', '2']) bench.event('card-swipe', { card });
    await until(() => bench.held.length === 3, 'both events are held');
    return { bench, disk: bench.disk.copy(), cloud };
  };

  it('are sent again, and let go by answers that speak of their start', async () => {
    const { disk, cloud } = await crashed();
    const after = await SessionBench.start({ start: 2 }, disk, cloud);
    expect(after.held).toEqual([1, 2]);
    after.link.connect();
    await after.answer(await after.next());
    await until(() => after.held.length === 2, 'the boot report is let go');
    await after.clock.advance(100);
    const events = await after.arrivals(2);
    expect(events.map(({ report }) => [report.start, report.sequence])).toEqual([
      [1, 1],
      [1, 2],
    ]);
    for (const event of events) await after.answer(event);
    await until(() => after.held.length === 0, 'nothing is held');
    expect(triggersOf(cloud.received).filter((kind) => kind === 'event')).toHaveLength(2);
  });

  it('are never sent again once refused, even when the agent dies before it tidies up', async () => {
    const { disk, cloud } = await crashed();
    const after = await SessionBench.start({ start: 2 }, disk, cloud);
    after.link.connect();
    await after.answer(await after.next());
    const refused = await after.next({ record: false });
    await after.answer(refused, { rejected: [{ sequence: 1, digest: refused.digest, code: 'identity_conflict' }] });
    await until(() => after.held.length < 2, 'one is let go');
    await until(() => new TextDecoder().decode(disk.files.get(OUTBOX_FILE)).trim().split('\n').length === 3, 'a mark');
    const third = await SessionBench.start({ start: 3 }, disk.copy(), cloud);
    expect(third.held).toEqual([2]);
  });

  it('survive a torn end and damage, which is said', async () => {
    const { disk, cloud } = await crashed();
    const file = disk.files.get(OUTBOX_FILE) ?? new Uint8Array();
    disk.files.set(OUTBOX_FILE, file.slice(0, -30));
    const after = await SessionBench.start({ start: 2 }, disk, cloud);
    expect(after.held).toEqual([1]);
    expect(after.codes()).toContain('outbox_cut');
  });
});
