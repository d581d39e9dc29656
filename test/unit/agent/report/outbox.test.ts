import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Outbox } from '@paddock/agent/report/outbox.ts';
import type { Held, SealedReport } from '@paddock/agent/report/sealed.ts';
import { answerTo, findHeld, sealedReport, THIS_START } from '../../../harness/agent/held-reports.ts';

const at = uptimeMs;
const LIMITS = { routineReports: 4, diskBytes: 40, maxAgeMs: 1_000_000 };
const sealed = (sequence: number, fields: Partial<SealedReport> = {}): SealedReport =>
  sealedReport(sequence, { envelope: 'x'.repeat(10), ...fields });
const newOutbox = (limits = LIMITS): Outbox => new Outbox(limits, THIS_START);
const hold = (outbox: Outbox, report: SealedReport, live = false, onDisk = report.event): void =>
  outbox.hold(report, { live, onDisk, heldAt: report.start === THIS_START.start ? at(0) : null });
function holdAll(outbox: Outbox, reports: readonly SealedReport[], live = false): Outbox {
  for (const report of reports) hold(outbox, report, live);
  return outbox;
}
const sequences = (held: readonly Held[]): number[] => held.map((entry) => entry.sequence);
describe('what is kept', () => {
  it('drops the oldest routine report of a full ring and counts it', () => {
    const outbox = holdAll(
      newOutbox(),
      [0, 1, 2, 3, 4, 5].map((n) => sealed(n)),
    );
    expect(sequences(outbox.held)).toEqual([2, 3, 4, 5]);
    expect(outbox).toMatchObject({ droppedRoutine: 2, droppedEvents: 0 });
  });

  it('drops routine reports of a full disk first, the oldest one, and events last', () => {
    const event = (n: number): SealedReport => sealed(n, { event: true, nonce: 'n' });
    const outbox = holdAll(newOutbox(), [event(0), event(1)]);
    for (const n of [2, 3]) hold(outbox, sealed(n), false, true);
    expect(outbox).toMatchObject({ waiting: 4, droppedRoutine: 0 });
    hold(outbox, event(4));
    expect(sequences(outbox.held)).toEqual([0, 1, 3, 4]);
    holdAll(outbox, [event(5), event(6)]);
    expect(sequences(outbox.held)).toEqual([1, 4, 5, 6]);
    expect(outbox).toMatchObject({ droppedRoutine: 2, droppedEvents: 1 });
  });

  it('holds a report once, however often a file names it', () => {
    expect(holdAll(newOutbox(), [sealed(1), sealed(1)]).waiting).toBe(1);
  });

  it('lets go of what has waited too long, by uptime', () => {
    const outbox = newOutbox();
    for (const n of [0, 1, 2]) outbox.hold(sealed(n), { live: false, onDisk: false, heldAt: at(n * 600_000) });
    expect(sequences(outbox.held)).toEqual([1, 2]);
    expect(outbox.droppedRoutine).toBe(1);
  });

  it('counts the age of what an earlier start left from the first answer, not by what a clock says', () => {
    const early = [1, 2].map((n) => sealed(n, { start: 2, nonce: 'n' }));
    const outbox = holdAll(newOutbox(), early);
    outbox.trust(wallMs(5_000), at(5_000));
    outbox.trust(wallMs(1_005_000), at(1_005_000));
    expect(outbox.waiting).toBe(2);
    expect(outbox.aged()).toMatchObject([{ start: 2, since: 5_000 }]);
    outbox.trust(wallMs(1_005_001), at(1_005_001));
    // However old it is, it was not sent yet.
    expect(outbox.waiting).toBe(2);
    for (const { digest } of early) outbox.sent(digest, at(0));
    outbox.trust(wallMs(1_005_001), at(1_005_001));
    expect(outbox).toMatchObject({ waiting: 0, droppedRoutine: 2 });
    expect(outbox.aged()).toEqual([]);
  });

  it.each([
    ['behind', [wallMs(0), wallMs(1e12)]],
    ['ahead', [wallMs(1e12), wallMs(3e12), wallMs(1e12)]],
  ])('lets nothing go for an answer of a cloud whose clock is years %s', (_what, answers) => {
    const outbox = holdAll(newOutbox(), [sealed(1, { start: 2, event: true, nonce: 'n' })]);
    outbox.sent('2-1', at(0));
    for (const [n, told] of answers.entries()) outbox.trust(told, at(n));
    expect(outbox).toMatchObject({ waiting: 1, droppedEvents: 0 });
    // What a later agent will count from is not the wrong one that is behind.
    expect(outbox.aged()[0]?.since).toBeGreaterThanOrEqual(1e12 - 1);
  });

  it('counts on what an earlier agent wrote down of that age', () => {
    const outbox = holdAll(newOutbox(), [sealed(1, { start: 2, event: true, nonce: 'n' })]);
    outbox.known({ incarnation: THIS_START.incarnation, start: 2 }, wallMs(0));
    outbox.sent('2-1', at(0));
    outbox.trust(wallMs(1_000_001), at(1_000_001));
    expect(outbox).toMatchObject({ waiting: 0, droppedEvents: 1 });
  });

  it('writes what only memory holds, oldest first, and knows it afterwards', () => {
    const outbox = holdAll(newOutbox(), [sealed(0), sealed(1)]);
    hold(outbox, sealed(2, { event: true, nonce: 'n' }), false, false);
    expect(sequences(outbox.unwritten(false) as Held[])).toEqual([2]);
    const all = outbox.unwritten(true);
    expect(sequences(all as Held[])).toEqual([0, 1, 2]);
    outbox.written(all);
    expect(outbox.unwritten(true)).toEqual([]);
    expect(outbox.loose).toBe(0);
    expect(outbox.onDisk).toEqual({ reports: 3, bytes: 30 });
  });

  it('keeps of every start on the disk a report that asks, be it covered', () => {
    const outbox = holdAll(newOutbox(), [sealed(0, { nonce: 'n' }), sealed(1)], true);
    for (const n of [0, 1]) outbox.sent(`3-${n}`, at(0));
    outbox.settle(answerTo(sealed(0), { recorded: [[0, 0]] }), findHeld(outbox, sealed(0)), at(1));
    outbox.written(outbox.unwritten(true));
    expect(outbox.toKeep().map(({ sequence }) => sequence)).toEqual([0, 1]);
  });
});

describe('what is sent next', () => {
  it('sends live reports at once and what is due again only when the connection was opened', () => {
    const outbox = holdAll(newOutbox(), [sealed(0)]);
    hold(outbox, sealed(1), true);
    expect(outbox.next(false, at(0))?.sequence).toBe(1);
    outbox.sent('3-1', at(0));
    expect(outbox.next(false, at(0))).toBeNull();
    expect(outbox.next(true, at(0))?.sequence).toBe(0);
  });

  it('sends a report that asked again when no answer comes, later each time', () => {
    const outbox = holdAll(newOutbox(), [sealed(0, { nonce: 'n' })], true);
    const dueAts = [0, 1, 2, 3].map(() => {
      outbox.sent('3-0', at(0));
      return outbox.nextDueAt();
    });
    expect(dueAts).toEqual([30_000, 60_000, 120_000, 240_000]);
    expect(outbox.next(true, at(239_999))).toBeNull();
    expect(outbox.next(true, at(240_000))?.sequence).toBe(0);
  });

  it('leaves a report without an ask to the answer of another', () => {
    const outbox = holdAll(newOutbox(), [sealed(0)], true);
    outbox.sent('3-0', at(0));
    expect(outbox.nextDueAt()).toBeNull();
  });

  it('tries again soon after the link refused', () => {
    const outbox = holdAll(newOutbox(), [sealed(0)], true);
    outbox.sent('3-0', at(0));
    outbox.notSent('3-0', at(5));
    expect(outbox.nextDueAt()).toBe(1_005);
  });

  it('knows when a report was sent first, which is not when the link did not even take it', () => {
    const outbox = holdAll(newOutbox(), [sealed(0)], true);
    for (const moment of [10, 20]) {
      outbox.sent('3-0', at(moment), 2);
      outbox.notSent('3-0', at(moment), true);
      expect(outbox.find('3-0')?.firstSent).toBeNull();
    }
    outbox.sent('3-0', at(30), 2);
    outbox.notSent('3-0', at(31));
    for (const moment of [40, 50]) outbox.sent('3-0', at(moment), 7);
    outbox.notSent('3-0', at(51), true);
    outbox.disconnected();
    expect(outbox.find('3-0')?.firstSent).toEqual({ at: 30, segment: 2 });
  });

  it('holds everything due after a break, oldest first', () => {
    const outbox = holdAll(newOutbox(), [sealed(0), sealed(1)], true);
    for (const n of [1, 0]) outbox.sent(`3-${n}`, at(0));
    outbox.disconnected();
    expect(outbox.next(true, at(0))?.sequence).toBe(0);
  });

  it('asks after a batch whose last reports carry no ask of their own', () => {
    const outbox = holdAll(newOutbox(), [sealed(0), sealed(1)]);
    hold(outbox, sealed(2, { nonce: 'n' }), true);
    outbox.sent('3-2', at(0));
    expect(outbox.endsBatchUnasked(outbox.next(true, at(0)))).toBe(false);
    outbox.sent('3-0', at(1));
    expect(outbox.endsBatchUnasked(outbox.next(true, at(1)))).toBe(false);
    outbox.sent('3-1', at(2));
    expect(outbox.endsBatchUnasked(outbox.next(true, at(2)))).toBe(true);
    hold(outbox, sealed(3, { nonce: 'm' }), true);
    outbox.sent('3-3', at(3));
    expect(outbox.endsBatchUnasked(null)).toBe(false);
  });

  it('asks in a long batch, too: a connection that breaks often must get on', () => {
    const outbox = holdAll(
      newOutbox({ ...LIMITS, routineReports: 200 }),
      Array.from({ length: 100 }, (_, n) => sealed(n)),
    );
    const sentAndAsked = Array.from({ length: 100 }, () => {
      const next = outbox.next(true, at(0));
      outbox.sent(next?.digest ?? '', at(0));
      return outbox.endsBatchUnasked(outbox.next(true, at(0)));
    });
    expect(sentAndAsked.indexOf(true)).toBe(63);
  });

  it('asks before a ring is full of live reports that do not', () => {
    const outbox = holdAll(newOutbox(), [sealed(0), sealed(1)], true);
    outbox.sent('3-0', at(0));
    expect(outbox.endsBatchUnasked(null)).toBe(false);
    outbox.sent('3-1', at(0));
    expect(outbox.endsBatchUnasked(null)).toBe(true);
  });
});

describe('what an answer does', () => {
  const opened = (): Outbox => {
    const outbox = holdAll(newOutbox(), [sealed(0), sealed(1), sealed(2, { nonce: 'n' }), sealed(3)], true);
    for (const n of [0, 1, 2, 3]) outbox.sent(`3-${n}`, at(100));
    return outbox;
  };

  it('sends an ask of an earlier start again soon, once a later answer shows that the cloud is there', () => {
    const early = sealed(7, { start: 2, nonce: 'n1', event: true });
    const quiet = sealed(8, { start: 2 });
    const late = sealed(0, { nonce: 'n2' });
    const outbox = holdAll(newOutbox(), [early, quiet, late]);
    for (const { digest } of [early, quiet, late]) outbox.sent(digest, at(1000));
    expect(findHeld(outbox, early).dueAt).toBe(31_000);
    const settled = outbox.settle(answerTo(late, { recorded: [[0, 0]] }), findHeld(outbox, late), at(1100));
    expect(sequences(settled.missing)).toEqual([7]);
    expect(findHeld(outbox, early).dueAt).toBe(3000);
    // Nobody was asked about it: the next connection sends it again.
    expect(findHeld(outbox, quiet).dueAt).toBeNull();
  });

  it('lets recorded reports go, has missing ones sent again, and waits for those sent after it', () => {
    const outbox = opened();
    const asked = findHeld(outbox, sealed(2));
    const settled = outbox.settle(
      answerTo(asked, {
        recorded: [
          [0, 0],
          [2, 2],
        ],
      }),
      asked,
      at(500),
    );
    expect(sequences(settled.recorded)).toEqual([0, 2]);
    expect(sequences(settled.missing)).toEqual([1]);
    expect(sequences(outbox.held)).toEqual([1, 3]);
    expect(findHeld(outbox, sealed(1)).dueAt).toBe(2_100);
    expect(findHeld(outbox, sealed(3)).dueAt).toBeNull();
  });

  it('lets refused reports go, with their code', () => {
    const outbox = opened();
    const asked = findHeld(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'identity_conflict' }];
    const settled = outbox.settle(answerTo(asked, { rejected }), asked, at(500));
    expect(settled.rejected.map(({ code, report }) => [code, report.sequence])).toEqual([['identity_conflict', 1]]);
    expect(sequences(outbox.held)).not.toContain(1);
  });

  it('believes a refusal of the digest rather than a record of the sequence', () => {
    const outbox = opened();
    const asked = findHeld(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'identity_conflict' }];
    const settled = outbox.settle(answerTo(asked, { recorded: [[0, 2]], rejected }), asked, at(500));
    expect(sequences(settled.recorded)).toEqual([0, 2]);
    expect(settled.rejected).toHaveLength(1);
  });

  it('keeps a report that is refused for a passing reason', () => {
    const outbox = opened();
    const asked = findHeld(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'device_retired' }];
    outbox.settle(answerTo(asked, { rejected }), asked, at(500));
    expect(sequences(outbox.held)).toContain(1);
  });

  it('says nothing about another start', () => {
    const other = sealed(0, { start: 2, event: true, nonce: 'm' });
    const outbox = opened();
    hold(outbox, other);
    const asked = findHeld(outbox, sealed(2));
    outbox.settle(answerTo(asked, { recorded: [[0, 9]] }), asked, at(500));
    expect(findHeld(outbox, other)).toBeDefined();
  });

  it('takes no ranges from an answer that names no start', () => {
    const outbox = opened();
    const asked = findHeld(outbox, sealed(2));
    const answer = answerTo(asked, { incarnation: null, start: null, recorded: [[0, 9]] });
    expect(outbox.settle(answer, asked, at(500)).recorded).toEqual([]);
  });
});

/** The world as it is: what the cloud has, what it refuses for good, and what got lost on the way. */
const Step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('make' as const), event: fc.boolean(), asks: fc.boolean() }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constant('send' as const), arrives: fc.boolean(), refused: fc.nat(9) }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('answer' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('break' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.nat(100_000) }) },
);
type WorldStep = typeof Step extends fc.Arbitrary<infer T> ? T : never;

describe('any order of things', () => {
  it('loses nothing that is not recorded or refused except by its bounds, and never resends what was let go', () => {
    fc.assert(
      fc.property(fc.array(Step, { maxLength: 120 }), (steps) => {
        const world = new World();
        for (const step of steps) world.play(step);
        expect(world.verdict()).toEqual({
          resent: [],
          lostEvents: world.outbox.droppedEvents,
          lostRoutine: world.outbox.droppedRoutine,
          letGoForNothing: [],
          stuck: 0,
        });
      }),
      { numRuns: 300 },
    );
  });
});

class World {
  readonly made: SealedReport[] = [];
  readonly recorded = new Set<number>();
  readonly refused = new Set<string>();
  readonly letGo = new Set<string>();
  readonly resent: string[] = [];
  readonly outbox = newOutbox({ routineReports: 5, diskBytes: 60, maxAgeMs: Infinity });
  now = 0;

  play(step: WorldStep): void {
    if (step.kind === 'make') this.make(step.event, step.asks);
    if (step.kind === 'send') this.send(step.arrives, step.refused === 0);
    if (step.kind === 'answer') this.answer(step.pick);
    if (step.kind === 'break') this.outbox.disconnected();
    if (step.kind === 'wait') this.now += step.ms;
  }

  make(event: boolean, asks: boolean): void {
    const report = sealed(this.made.length, { event, nonce: event || asks ? 'n' : null });
    this.made.push(report);
    hold(this.outbox, report, true);
  }

  send(arrives: boolean, refuses: boolean): void {
    const next = this.outbox.next(true, at(this.now));
    if (!next) return;
    if (this.letGo.has(next.digest)) this.resent.push(next.digest);
    this.outbox.sent(next.digest, at(this.now));
    if (!arrives || this.refused.has(next.digest)) return;
    if (refuses && !this.recorded.has(next.sequence)) this.refused.add(next.digest);
    else this.recorded.add(next.sequence);
  }

  answer(pick: number): void {
    const asked = this.outbox.held.filter((entry) => entry.nonce !== null && entry.sentAt !== null);
    const answered = asked[pick % Math.max(1, asked.length)];
    if (!answered) return;
    const recorded = [...this.recorded].map((sequence): [number, number] => [sequence, sequence]);
    const rejected = [...this.refused].map((digest) => ({ sequence: null, digest, code: 'identity_conflict' }));
    const settled = this.outbox.settle(answerTo(answered, { recorded, rejected }), answered, at(this.now));
    for (const { digest } of [...settled.recorded, ...settled.rejected.map(({ report }) => report)])
      this.letGo.add(digest);
  }

  /** @returns how many reports are sent after a break */
  sendAll(): number {
    this.outbox.disconnected();
    const digests = new Set<string>();
    for (let next = this.outbox.next(true, at(0)); next; next = this.outbox.next(true, at(0))) {
      digests.add(next.digest);
      this.outbox.sent(next.digest, at(0));
    }
    return digests.size;
  }

  verdict(): object {
    const waiting = this.outbox.waiting;
    const held = new Set(this.outbox.held.map(({ digest }) => digest));
    const lost = this.made.filter(({ digest }) => !held.has(digest) && !this.letGo.has(digest));
    const known = (digest: string): boolean =>
      this.refused.has(digest) || this.recorded.has(Number(digest.split('-')[1]));
    return {
      resent: this.resent,
      lostEvents: lost.filter(({ event }) => event).length,
      lostRoutine: lost.filter(({ event }) => !event).length,
      letGoForNothing: [...this.letGo].filter((digest) => !known(digest)),
      // Whatever happened: after a break everything that is left is sent again.
      stuck: waiting - this.sendAll(),
    };
  }
}
