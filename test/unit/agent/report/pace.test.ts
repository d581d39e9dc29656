import { createPace } from '@paddock/agent/report/pace.ts';
import { expect, it } from 'vitest';
import { SessionBench, triggersOf } from '../../../harness/agent/session.ts';

const OWN = { cron: '*/5 * * * *', gapMs: 300_000 };
const SET = { cron: '* * * * *', gapMs: 60_000 };

it('a schedule that is set while the agent runs is announced and kept, until the own one holds again', async () => {
  const pace = createPace(OWN);
  const bench = await (await SessionBench.start({ pace })).connected();
  const before = bench.tick;
  pace.set(SET);
  expect(bench.tick).not.toBe(before);
  bench.tick();
  await bench.clock.advance(0);
  expect((await bench.next()).report.nextWithinMs).toBe(90_000);
  // Cron that keeps silent does not silence the device: the guard goes by the schedule that holds.
  await bench.clock.advance(76_000);
  const late = await bench.next();
  expect([triggersOf([late]), late.report.nextWithinMs]).toEqual([['schedule'], 90_000]);
  pace.set(null);
  bench.tick();
  await bench.clock.advance(0);
  expect((await bench.next()).report.nextWithinMs).toBe(330_000);
  await bench.clock.advance(76_000);
  expect(bench.unseen).toBe(0);
});

it('who hears of changes hears of those only', () => {
  const pace = createPace(OWN);
  let changes = 0;
  const forget = pace.onChange(() => void (changes += 1));
  pace.set(null);
  pace.set(SET);
  pace.set({ ...SET });
  expect([changes, pace.now()]).toEqual([1, SET]);
  forget();
  pace.set(null);
  expect([changes, pace.now()]).toEqual([1, OWN]);
});
