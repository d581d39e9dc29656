import { OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { isAwayAtTheEnd, isSpillDue, type Absence } from '@paddock/agent/report/spill.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { until } from '../../../harness/agent/fake-clock.ts';
import type { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { DEVICE, SessionBench } from '../../../harness/agent/session.ts';

const MINUTE = 60_000;
const at = uptimeMs;

describe('when routine reports go to the disk', () => {
  const absence = (sinceMinute: number | null, spilledMinute: number | null = null): Absence => ({
    since: sinceMinute === null ? null : at(sinceMinute * MINUTE),
    spilledAt: spilledMinute === null ? null : at(spilledMinute * MINUTE),
  });
  it.each<[string, Absence, number, number, boolean]>([
    ['the cloud answers', absence(null), 100, 60, false],
    ['nobody answered for four minutes', absence(0), 1, 4, false],
    ['nobody answered for five minutes', absence(0), 1, 5, true],
    ['nothing is left to be written', absence(0), 0, 60, false],
    ['a batch was written ten minutes ago', absence(0, 50), 2, 60, false],
    ['a batch was written a quarter of an hour ago', absence(0, 45), 2, 60, true],
    ['many came since the last batch', absence(0, 59), 64, 60, true],
    ['memory is nearly full, whatever else', absence(null), 192, 60, true],
  ])('that %s decides', (_what, given, loose, minute, expected) => {
    expect(isSpillDue(given, loose, 256, at(minute * MINUTE))).toBe(expected);
  });

  it('they do at the end when the cloud is away, or has not answered for a while', () => {
    expect(isAwayAtTheEnd(absence(null), true, at(0))).toBe(false);
    expect(isAwayAtTheEnd(absence(null), false, at(0))).toBe(true);
    expect(isAwayAtTheEnd(absence(0), true, at(29_999))).toBe(false);
    expect(isAwayAtTheEnd(absence(0), true, at(30_000))).toBe(true);
  });
});

describe('an outage', () => {
  const onDisk = (disk: MemoryDisk) => parseOutbox(disk.files.get(OUTBOX_FILE) ?? new Uint8Array(), DEVICE);
  const sequences = (disk: MemoryDisk): number[] => onDisk(disk).reports.map(({ sequence }) => sequence);
  const writes = (disk: MemoryDisk): string[] =>
    disk.writes.filter(({ path }) => path === OUTBOX_FILE).map(({ operation }) => operation);
  /** Scheduled reports, five minutes apart. */
  async function pass(bench: SessionBench, reports: number): Promise<void> {
    for (let n = 0; n < reports; n += 1) {
      const { waiting } = bench.session.outbox();
      await bench.clock.advance(5 * MINUTE - 1);
      bench.tick();
      await bench.clock.advance(1);
      await until(() => bench.session.outbox().waiting > waiting, 'a report was made');
    }
    await bench.clock.advance(0);
  }

  /** The cloud answers whatever asks until nothing waits any more, in virtual and in real time. */
  async function answerAll(bench: SessionBench): Promise<void> {
    for (let n = 0; n < 2_000 && bench.session.outbox().waiting > 0; n += 1) {
      while (bench.unseen > 0) {
        const received = await bench.next();
        if (received.report.ask !== undefined) await bench.answer(received);
      }
      await bench.clock.advance(50);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await until(() => bench.session.outbox().waiting === 0, 'nothing waits');
  }

  it('that never comes writes nothing routine', async () => {
    const bench = await (await SessionBench.start()).connected();
    for (let n = 0; n < 20; n += 1) {
      await pass(bench, 1);
      const received = await bench.next();
      if (received.report.ask === undefined) continue;
      await bench.answer(received);
      await until(() => bench.held.length === 0, 'it is answered');
    }
    expect(writes(bench.disk)).toEqual([]);
  });

  it('is written in few batches, behind a report that asks, and what a kill leaves is sent by the next start', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.cut();
    await pass(bench, 24);
    const appended = writes(bench.disk);
    expect([...new Set(appended)]).toEqual(['append']);
    expect(appended.length).toBeLessThanOrEqual(9);
    expect(onDisk(bench.disk).reports[0]?.nonce).not.toBeNull();
    const kept = sequences(bench.disk);
    expect(kept.length).toBeGreaterThanOrEqual(22);
    expect(bench.codes()).toContain('routine_kept');
    // Killed.
    const disk = bench.disk.copy();
    const after = await SessionBench.start({ start: 2 }, disk, bench.cloud);
    expect(after.held).toEqual(expect.arrayContaining(kept));
    after.link.connect();
    await until(() => after.unseen > 0, 'the connection is opened');
    await answerAll(after);
    const recorded = bench.cloud.sequencesOf({ incarnation: 'aaaaaaaaaaa', start: 1 });
    expect(kept.filter((sequence) => !recorded.has(sequence))).toEqual([]);
  });

  it('ends on the disk when the agent is told to stop', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.cut();
    bench.tick();
    await bench.clock.advance(0);
    await until(() => bench.held.length === 1, 'a routine report waits');
    expect(writes(bench.disk)).toEqual([]);
    const stopped = bench.session.stop();
    await until(() => bench.held.length === 2, 'the goodbye waits');
    await bench.clock.advance(4_000);
    await stopped;
    // The boot report asks for them, the goodbye is the last of them.
    expect(sequences(bench.disk)).toEqual([0, 1, 2]);
  });

  it('costs nothing routine any more when the cloud is back', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.cut();
    await pass(bench, 6);
    bench.link.connect();
    await answerAll(bench);
    const before = writes(bench.disk).length;
    await pass(bench, 3);
    expect(writes(bench.disk)).toHaveLength(before);
  });

  it('goes on from memory when the disk is full, is told once, and written when there is room', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.cut();
    bench.disk.failNext(3, 50, OUTBOX_FILE);
    await pass(bench, 16);
    const codes = bench.codes().filter((code) => code.startsWith('outbox_'));
    expect(codes).toEqual(['outbox_file_failed', 'outbox_file_well']);
    expect(sequences(bench.disk).length).toBeGreaterThanOrEqual(12);
    expect([...onDisk(bench.disk).faults.keys()]).toEqual(['outbox_damaged']);
    expect(bench.session.outbox().droppedRoutine).toBe(0);
  });
});

describe('the pace of what is sent again', () => {
  it('is what the cloud asks for, and delays no live report', async () => {
    const bench = await (await SessionBench.start()).connected();
    bench.link.cut();
    for (let n = 0; n < 10; n += 1) {
      bench.tick();
      await bench.clock.advance(0);
      await until(() => bench.held.length === n + 1, 'a report waits');
    }
    await bench.clock.advance(MINUTE);
    bench.link.connect();
    await bench.answer(await bench.next(), { resendPerSecond: 1 });
    await until(() => bench.unseen === 1, 'the first of them');
    await bench.clock.advance(2_990);
    expect(bench.unseen).toBe(3);
    bench.tick();
    await bench.clock.advance(5);
    expect((await bench.arrivals(4)).at(-1)?.report.trigger.kind).toBe('schedule');
  });
});
