import { Outbox } from '@paddock/agent/report/outbox.ts';
import type { Held, SealedReport } from '@paddock/agent/report/sealed.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { answerTo, findHeld, sealedReport, THIS_START } from '../../../harness/agent/held-reports.ts';

const at = uptimeMs;
const LIMITS = { routineReports: 4, diskBytes: 1e9, maxAgeMs: 1_000_000 };
const sequences = (held: readonly Held[]): number[] => held.map((entry) => entry.sequence);
const early = (sequence: number, nonce: string | null = null): SealedReport =>
  sealedReport(sequence, { start: 2, nonce, envelope: 'x'.repeat(10) });

/** What an agent finds on its disk when it starts. */
function backlog(reports: readonly SealedReport[], limits = LIMITS): Outbox {
  const outbox = new Outbox(limits, THIS_START);
  for (const report of reports) outbox.hold(report, { live: false, onDisk: true, heldAt: null });
  return outbox;
}

/** Sends until nothing is due. @returns the sequences */
function drain(outbox: Outbox, now: number, most = 1_000): number[] {
  const all: number[] = [];
  for (let next = outbox.next(true, at(now)); next && all.length < most; next = outbox.next(true, at(now))) {
    all.push(next.sequence);
    outbox.sent(next.digest, at(now));
  }
  return all;
}

describe('what earlier starts left', () => {
  it('is followed by a report of the same start that asks, though that was sent before', () => {
    const outbox = backlog([early(0, 'n'), early(1), early(2), sealedReport(0, { start: 1, nonce: 'm' })]);
    expect(drain(outbox, 0)).toEqual([0, 1, 2, 0, 0]);
  });

  it('is let go by that answer, and what it shows missing is sent and asked about again', () => {
    const outbox = backlog([early(0, 'n'), early(1), early(2)]);
    drain(outbox, 0);
    const asked = findHeld(outbox, early(0));
    const first = outbox.settle(answerTo(asked, { recorded: [[0, 1]] }), asked, at(10));
    expect([sequences(first.recorded), sequences(first.missing)]).toEqual([[0, 1], [2]]);
    expect(outbox.waiting).toBe(1);
    expect(drain(outbox, 2_000)).toEqual([2, 0]);
    const again = findHeld(outbox, early(0));
    expect(again).toMatchObject({ nonce: 'n', dueAt: 32_000 });
    expect(sequences(outbox.settle(answerTo(asked, { recorded: [[0, 2]] }), again, at(2_010)).recorded)).toEqual([2]);
    expect(outbox.waiting).toBe(0);
    expect(outbox.find(early(0).digest)).toBeUndefined();
    expect(drain(outbox, 1_000_000)).toEqual([]);
  });

  it('is let go even when it was never sent in this start: an earlier one did, and nobody answered', () => {
    const outbox = backlog([early(0, 'n'), early(1), early(2)]);
    expect(drain(outbox, 0, 1)).toEqual([0]);
    const asked = findHeld(outbox, early(0));
    expect(outbox.settle(answerTo(asked, { recorded: [[0, 2]] }), asked, at(5)).recorded).toHaveLength(3);
  });

  it('is sent in batches that end with an ask', () => {
    const outbox = backlog([early(0, 'n'), ...Array.from({ length: 150 }, (_, n) => early(n + 1))]);
    const all = drain(outbox, 0);
    expect(all.flatMap((sequence, place) => (sequence === 0 ? [place] : []))).toEqual([0, 65, 130, 153]);
  });

  it('gets on though every connection breaks before a batch ends', () => {
    const outbox = backlog([early(0, 'n'), ...Array.from({ length: 100 }, (_, n) => early(n + 1))]);
    const recorded = new Set<number>();
    let connections = 0;
    for (; outbox.waiting > 0 && connections < 10; connections += 1) {
      for (let sent = 0; sent < 30; sent += 1) {
        const next = outbox.next(true, at(0));
        if (next === null) break;
        outbox.sent(next.digest, at(0));
        recorded.add(next.sequence);
        if (next.nonce === null) continue;
        const ranges = [...recorded].map((one): [number, number] => [one, one]);
        outbox.settle(answerTo(next, { recorded: ranges }), findHeld(outbox, next), at(0));
      }
      outbox.disconnected();
    }
    expect(connections).toBeLessThan(6);
  });

  it('does not drop the one report that asks while others need it', () => {
    const outbox = backlog([early(0, 'n'), early(1), early(2), early(3)], { ...LIMITS, diskBytes: 30 });
    expect(sequences(outbox.held)).toEqual([0, 2, 3]);
  });

  it('is not repeated without end when nothing of its start asks, and goes with its age', () => {
    const outbox = backlog([early(1), early(2)]);
    expect(drain(outbox, 0)).toEqual([1, 2]);
    outbox.disconnected();
    expect(drain(outbox, 29_999)).toEqual([]);
    expect(drain(outbox, 30_000)).toEqual([1, 2]);
    outbox.disconnected();
    expect(outbox.nextDueAt()).toBe(90_000);
    outbox.trust(wallMs(0), at(0));
    outbox.trust(wallMs(1_000_001), at(1_000_001));
    expect(outbox.waiting).toBe(0);
  });

  it('asks with another report when the cloud cannot even read the one that asked', () => {
    const outbox = backlog([early(0, 'n'), early(1, 'm'), early(2)]);
    drain(outbox, 0);
    const unreadable = findHeld(outbox, early(1));
    const rejected = [{ sequence: null, digest: unreadable.digest, code: 'payload_invalid' }];
    outbox.settle(answerTo(unreadable, { incarnation: null, start: null, rejected }), unreadable, at(1));
    outbox.disconnected();
    expect(drain(outbox, 5)).toEqual([0, 2, 0]);
  });
});

/** What the network does to each message, for a while. */
const Weather = fc.record({ loses: fc.infiniteStream(fc.nat(3)), breaks: fc.infiniteStream(fc.nat(20)) });
const Backlog = fc.array(fc.record({ start: fc.constantFrom(1, 2), asks: fc.nat(5) }), {
  minLength: 1,
  maxLength: 200,
});

describe('whatever the network does for a while', () => {
  it('is recorded and let go in the end, each once, when every start has one report that asks', () => {
    fc.assert(
      fc.property(Backlog, Weather, (drawn, { loses, breaks }) => {
        const made = new Map([1, 2].map((start) => [start, 0]));
        const reports = drawn.map(({ start, asks }) => {
          const sequence = made.get(start) ?? 0;
          made.set(start, sequence + 1);
          return sealedReport(sequence, { start, nonce: asks === 0 || sequence === 0 ? 'n' : null });
        });
        const outbox = backlog(reports.toSorted((a, b) => a.start - b.start || a.sequence - b.sequence));
        const recorded = new Map([1, 2].map((start) => [start, new Set<number>()]));
        let now = 0;
        for (let turn = 0; turn < 20_000 && outbox.waiting > 0; turn += 1) {
          const isRough = turn < 500;
          if (isRough && breaks.next().value === 0) outbox.disconnected();
          const next = outbox.next(true, at(now));
          if (!next) {
            now += 1_000;
            continue;
          }
          outbox.sent(next.digest, at(now));
          if (isRough && loses.next().value === 0) continue;
          recorded.get(next.start)?.add(next.sequence);
          if (next.nonce === null || (isRough && loses.next().value === 0)) continue;
          const ranges = [...(recorded.get(next.start) ?? [])].map((n): [number, number] => [n, n]);
          const answered = findHeld(outbox, next);
          outbox.settle(answerTo(next, { recorded: ranges }), answered, at(now));
        }
        expect(outbox).toMatchObject({ waiting: 0, droppedRoutine: 0, droppedEvents: 0 });
        expect([...recorded].map(([start, all]) => [start, all.size])).toEqual([...made]);
      }),
      { numRuns: 100, endOnFailure: true },
    );
  });
});

describe('a large outbox', () => {
  /** Processor time to send and let go of so many reports, of which one in six asks, in microseconds. */
  function costOf(count: number): number {
    const outbox = backlog(Array.from({ length: count }, (_, n) => early(n, n % 6 === 0 ? 'n' : null)));
    const before = process.cpuUsage();
    let [now, highest] = [0, 0];
    for (let next = outbox.next(true, at(now)); next; next = outbox.next(true, at(now))) {
      outbox.sent(next.digest, at((now += 50)));
      highest = Math.max(highest, next.sequence);
      if (next.nonce === null) continue;
      outbox.settle(answerTo(next, { recorded: [[0, highest]] }), findHeld(outbox, next), at(now));
    }
    const { user } = process.cpuUsage(before);
    expect(outbox.waiting).toBe(0);
    return user;
  }

  it('costs about the same for each report, however many there are', () => {
    costOf(5_000);
    const [small, large] = [5_000, 20_000].map((count) => Math.min(...[1, 2, 3].map(() => costOf(count))));
    // Four times as many: a cost that grew with the square would be sixteenfold.
    expect((large ?? 0) / (small ?? 1)).toBeLessThan(10);
  });
});
