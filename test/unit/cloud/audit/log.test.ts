import { AuditLog } from '@paddock/cloud/audit/log.ts';
import { addBeforeAnswer } from '@paddock/cloud/audit/written.ts';
import type { AuditEntry, Log, Sql } from '@paddock/cloud/ports.ts';
import { expect, it } from 'vitest';
import { CloudClock } from '../../../harness/cloud-clock.ts';

/** A database that can be away, and what the log of the service is told meanwhile. */
class Bench {
  readonly clock = new CloudClock(Date.UTC(2026, 10, 28));
  readonly written: string[] = [];
  readonly told: { code: unknown; entry: AuditEntry }[] = [];
  isAway = false;
  tries = 0;
  readonly log: AuditLog;

  constructor() {
    const sql: Sql = {
      query: async (_statement: string, [texts]: readonly unknown[] = []) => {
        this.tries += 1;
        if (this.isAway) throw new Error('the database is away');
        this.written.push(...(texts as string[]).map((text) => (JSON.parse(text) as AuditEntry).action));
        return [];
      },
    };
    const nothing = (): void => {};
    const error = (fields: object): void => void this.told.push(fields as (typeof this.told)[number]);
    const log: Log = { debug: nothing, info: nothing, warn: nothing, error };
    this.log = new AuditLog({ sql, clock: this.clock, log });
  }

  add(action: string): Promise<void> {
    return this.log.add({ actor: 'token:one', action, result: 'done' });
  }

  /** Lets so many tries come and fail. */
  async failing(times: number): Promise<void> {
    for (const until = this.tries + times; this.tries < until; await turn()) this.clock.advance(5_000);
  }
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const isSettled = async (promise: Promise<void>): Promise<boolean> => {
  let settled = false;
  void promise.then(() => (settled = true));
  await turn();
  return settled;
};

it('keeps entries while the database is away, and writes them in their order when it is back', async () => {
  const bench = new Bench();
  bench.isAway = true;
  const first = bench.add('first');
  await bench.failing(20);
  const second = bench.add('second');
  expect([await isSettled(first), await isSettled(second), bench.written]).toEqual([false, false, []]);
  bench.isAway = false;
  bench.clock.advance(5_000);
  await Promise.all([first, second]);
  expect([bench.written, bench.told]).toEqual([['first', 'second'], []]);
  // It tries less and less often: at once, and after 100 ms; later every 5 s.
  bench.isAway = true;
  const third = bench.add('third');
  await turn();
  const before = bench.tries;
  bench.clock.advance(99);
  await turn();
  expect(bench.tries).toBe(before);
  bench.clock.advance(1);
  await turn();
  expect(bench.tries).toBe(before + 1);
  await bench.log.close();
  await third;
});

it('gives up what cannot be written for long, and tells the log of the service the whole entry', async () => {
  const bench = new Bench();
  bench.isAway = true;
  const lost = bench.add('lost');
  await bench.failing(100);
  await lost;
  expect(bench.told).toMatchObject([{ code: 'audit_not_written', entry: { action: 'lost', actor: 'token:one' } }]);
  bench.isAway = false;
  await bench.add('next');
  expect(bench.written).toEqual(['next']);
});

it('keeps a bounded number of them: what comes beyond is told to the log of the service at once', async () => {
  const bench = new Bench();
  bench.isAway = true;
  const kept = Array.from({ length: 10_000 }, (_, at) => bench.add(`kept${at}`));
  await bench.add('beyond');
  expect(bench.told.map(({ code, entry }) => [code, entry.action])).toEqual([['audit_not_written', 'beyond']]);
  await turn();
  bench.isAway = false;
  bench.clock.advance(100);
  await Promise.all(kept);
  expect([bench.written.length, bench.written.at(-1)]).toEqual([10_000, 'kept9999']);
});

it('closes while the database is away, and tells the log of the service what it could not write', async () => {
  const bench = new Bench();
  bench.isAway = true;
  const waiting = [bench.add('one'), bench.add('two')];
  await turn();
  await bench.log.close();
  await Promise.all(waiting);
  expect(bench.told.map(({ entry }) => entry.action)).toEqual(['one', 'two']);
});

it('holds an answer up until the entry is written, or for two seconds', async () => {
  const bench = new Bench();
  const entry: AuditEntry = { actor: 'token:one', action: 'act', result: 'done' };
  await addBeforeAnswer(bench.log, bench.clock, entry);
  expect(bench.written).toEqual(['act']);
  bench.isAway = true;
  const answered = addBeforeAnswer(bench.log, bench.clock, entry);
  bench.clock.advance(1_999);
  expect(await isSettled(answered)).toBe(false);
  bench.clock.advance(1);
  await answered;
  await bench.log.close();
});
