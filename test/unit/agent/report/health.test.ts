import { createHealthReader, HEALTH_WITHIN_MS } from '@paddock/agent/report/health.ts';
import { expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

it('keeps no report back when the machine does not tell of itself, and asks it only once', async () => {
  const clock = new FakeClock();
  const asked: (() => void)[] = [];
  const health = () => new Promise<object>((resolve) => asked.push(() => resolve({ load1: 1 })));
  const read = createHealthReader({ health }, clock);
  const first = read();
  await clock.advance(HEALTH_WITHIN_MS);
  expect(await first).toEqual({});
  expect(await read()).toEqual({});
  expect(asked).toHaveLength(1);
  asked[0]?.();
  await clock.advance(0);
  const again = read();
  asked[1]?.();
  expect(await again).toEqual({ load1: 1 });
});

it('reports without the health that cannot be read', async () => {
  const read = createHealthReader({ health: () => Promise.reject(new Error('no /proc')) }, new FakeClock());
  expect(await read()).toEqual({});
});
