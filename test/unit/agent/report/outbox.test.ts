import type { Answer } from '@paddock/shared/answer.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  disconnected,
  emptyOutbox,
  endsBatchUnasked,
  hold,
  nextDueAt,
  nextToSend,
  notSent,
  sent,
  settle,
  type Held,
  type Outbox,
  type SealedReport,
} from '@paddock/agent/report/outbox.ts';

const at = uptimeMs;
const LIMITS = { routineReports: 4, eventBytes: 40 };
const THIS_START = { incarnation: 'aaaaaaaaaaa', start: 3 };

function sealed(sequence: number, fields: Partial<SealedReport> = {}): SealedReport {
  const digest = `${fields.start ?? THIS_START.start}-${sequence}`;
  return { ...THIS_START, sequence, digest, envelope: 'x'.repeat(10), nonce: null, event: false, ...fields };
}

function answerTo(report: SealedReport, fields: Partial<Answer> = {}): Answer {
  const instant = '2026-11-23T20:00:00.000Z';
  const times = { receivedAt: instant, sentAt: instant, expiresAt: instant };
  const { incarnation, start, digest } = report;
  return {
    v: 1,
    device: 'kiosk-0001',
    incarnation,
    start,
    digest,
    recorded: [],
    rejected: [],
    desired: { epoch: 0, version: 0 },
    wants: [],
    ...times,
    ...fields,
  };
}

const holdAll = (outbox: Outbox, reports: readonly SealedReport[], live = false): Outbox =>
  reports.reduce((kept, report) => hold(kept, report, live), outbox);
const sequences = (held: readonly Held[]): number[] => held.map((entry) => entry.sequence);
const find = (outbox: Outbox, report: SealedReport): Held => {
  const entry = outbox.held.find(({ digest }) => digest === report.digest);
  if (!entry) throw new Error('not held');
  return entry;
};

describe('what is kept', () => {
  it('drops the oldest routine report of a full ring and counts it', () => {
    const outbox = holdAll(
      emptyOutbox(LIMITS),
      [0, 1, 2, 3, 4, 5].map((n) => sealed(n)),
    );
    expect(sequences(outbox.held)).toEqual([2, 3, 4, 5]);
    expect(outbox).toMatchObject({ droppedRoutine: 2, droppedEvents: 0 });
  });

  it('keeps events when routine reports overflow, and drops the oldest event past its bytes', () => {
    const event = (n: number): SealedReport => sealed(n, { event: true, nonce: 'n' });
    const routine = [10, 11, 12, 13, 14].map((n) => sealed(n));
    const outbox = holdAll(emptyOutbox(LIMITS), [event(0), event(1), event(2), event(3), ...routine, event(4)]);
    expect(sequences(outbox.held)).toEqual([1, 2, 3, 11, 12, 13, 14, 4]);
    expect(outbox).toMatchObject({ droppedRoutine: 1, droppedEvents: 1 });
  });
});

describe('what is sent next', () => {
  it('sends live reports at once and what is due again only when the connection was opened', () => {
    const outbox = hold(hold(emptyOutbox(LIMITS), sealed(0), false), sealed(1), true);
    expect(nextToSend(outbox, false, at(0))?.sequence).toBe(1);
    const after = sent(outbox, '3-1', at(0));
    expect(nextToSend(after, false, at(0))).toBeNull();
    expect(nextToSend(after, true, at(0))?.sequence).toBe(0);
  });

  it('sends a report that asked again when no answer comes, later each time', () => {
    let outbox = hold(emptyOutbox(LIMITS), sealed(0, { nonce: 'n' }), true);
    const dueAts = [0, 1, 2, 3].map(() => {
      outbox = sent(outbox, '3-0', at(0));
      return nextDueAt(outbox);
    });
    expect(dueAts).toEqual([30_000, 60_000, 120_000, 240_000]);
  });

  it('leaves a report without an ask to the answer of another', () => {
    const outbox = sent(hold(emptyOutbox(LIMITS), sealed(0), true), '3-0', at(0));
    expect(nextDueAt(outbox)).toBeNull();
  });

  it('tries again soon after the link refused', () => {
    const outbox = notSent(sent(hold(emptyOutbox(LIMITS), sealed(0), true), '3-0', at(0)), '3-0', at(5));
    expect(nextDueAt(outbox)).toBe(1_005);
  });

  it('holds everything due after a break', () => {
    const outbox = disconnected(sent(hold(emptyOutbox(LIMITS), sealed(0), true), '3-0', at(0)));
    expect(nextToSend(outbox, true, at(0))?.sequence).toBe(0);
  });

  it('asks after a batch whose last reports carry no ask of their own', () => {
    const backlog = holdAll(emptyOutbox(LIMITS), [sealed(0), sealed(1)]);
    const opened = sent(hold(backlog, sealed(2, { nonce: 'n' }), true), '3-2', at(0));
    expect(endsBatchUnasked(opened, THIS_START)).toBe(false);
    const again = sent(sent(opened, '3-0', at(1)), '3-1', at(2));
    expect(endsBatchUnasked(again, THIS_START)).toBe(true);
    expect(endsBatchUnasked(sent(hold(again, sealed(3, { nonce: 'm' }), true), '3-3', at(3)), THIS_START)).toBe(false);
  });
});

describe('what an answer does', () => {
  const opened = (): Outbox => {
    const three = holdAll(emptyOutbox(LIMITS), [sealed(0), sealed(1), sealed(2, { nonce: 'n' }), sealed(3)], true);
    return ['3-0', '3-1', '3-2', '3-3'].reduce((outbox, digest) => sent(outbox, digest, at(100)), three);
  };

  it('sends an ask of an earlier start again soon, once a later answer shows that the cloud is there', () => {
    const early = sealed(7, { start: 2, nonce: 'n1', event: true });
    const quiet = sealed(8, { start: 2 });
    const late = sealed(0, { nonce: 'n2' });
    let outbox = holdAll(emptyOutbox(LIMITS), [early, quiet, late]);
    for (const { digest } of [early, quiet, late]) outbox = sent(outbox, digest, at(1000));
    expect(find(outbox, early).dueAt).toBe(31_000);
    const settled = settle(outbox, answerTo(late, { recorded: [[0, 0]] }), find(outbox, late), at(1100));
    expect(sequences(settled.missing)).toEqual([7]);
    expect(find(settled.outbox, early).dueAt).toBe(3000);
    // Nobody was asked about it: the next connection sends it again.
    expect(find(settled.outbox, quiet).dueAt).toBeNull();
  });

  it('lets recorded reports go, has missing ones sent again, and waits for those sent after it', () => {
    const outbox = opened();
    const asked = find(outbox, sealed(2));
    const settled = settle(
      outbox,
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
    expect(sequences(settled.outbox.held)).toEqual([1, 3]);
    expect(find(settled.outbox, sealed(1)).dueAt).toBe(2_100);
    expect(find(settled.outbox, sealed(3)).dueAt).toBeNull();
  });

  it('lets refused reports go, with their code', () => {
    const outbox = opened();
    const asked = find(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'identity_conflict' }];
    const settled = settle(outbox, answerTo(asked, { rejected }), asked, at(500));
    expect(settled.rejected.map(({ code, report }) => [code, report.sequence])).toEqual([['identity_conflict', 1]]);
    expect(sequences(settled.outbox.held)).not.toContain(1);
  });

  it('believes a refusal of the digest rather than a record of the sequence', () => {
    const outbox = opened();
    const asked = find(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'identity_conflict' }];
    const settled = settle(outbox, answerTo(asked, { recorded: [[0, 2]], rejected }), asked, at(500));
    expect(sequences(settled.recorded)).toEqual([0, 2]);
    expect(settled.rejected).toHaveLength(1);
  });

  it('keeps a report that is refused for a passing reason', () => {
    const outbox = opened();
    const asked = find(outbox, sealed(2));
    const rejected = [{ sequence: 1, digest: '3-1', code: 'device_retired' }];
    expect(sequences(settle(outbox, answerTo(asked, { rejected }), asked, at(500)).outbox.held)).toContain(1);
  });

  it('says nothing about another start', () => {
    const other = sealed(0, { start: 2, event: true, nonce: 'm' });
    const outbox = hold(opened(), other, false);
    const asked = find(outbox, sealed(2));
    expect(find(settle(outbox, answerTo(asked, { recorded: [[0, 9]] }), asked, at(500)).outbox, other)).toBeDefined();
  });

  it('takes no ranges from an answer that names no start', () => {
    const outbox = opened();
    const asked = find(outbox, sealed(2));
    const answer = answerTo(asked, { incarnation: null, start: null, recorded: [[0, 9]] });
    expect(settle(outbox, answer, asked, at(500)).recorded).toEqual([]);
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
          stuck: [],
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
  outbox = emptyOutbox({ routineReports: 5, eventBytes: 60 });
  now = 0;

  play(step: WorldStep): void {
    if (step.kind === 'make') this.make(step.event, step.asks);
    if (step.kind === 'send') this.send(step.arrives, step.refused === 0);
    if (step.kind === 'answer') this.answer(step.pick);
    if (step.kind === 'break') this.outbox = disconnected(this.outbox);
    if (step.kind === 'wait') this.now += step.ms;
  }

  make(event: boolean, asks: boolean): void {
    const report = sealed(this.made.length, { event, nonce: event || asks ? 'n' : null });
    this.made.push(report);
    this.outbox = hold(this.outbox, report, true);
  }

  send(arrives: boolean, refuses: boolean): void {
    const next = nextToSend(this.outbox, true, at(this.now));
    if (!next) return;
    if (this.letGo.has(next.digest)) this.resent.push(next.digest);
    this.outbox = sent(this.outbox, next.digest, at(this.now));
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
    const settled = settle(this.outbox, answerTo(answered, { recorded, rejected }), answered, at(this.now));
    for (const { digest } of [...settled.recorded, ...settled.rejected.map(({ report }) => report)])
      this.letGo.add(digest);
    this.outbox = settled.outbox;
  }

  verdict(): object {
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
      stuck: disconnected(this.outbox).held.filter(({ dueAt }) => dueAt !== 0),
    };
  }
}
