import { expect, it, vi } from 'vitest';
import { Addresses } from '@paddock/cloud/trust/addresses.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

it('looks through its addresses once a second, however many new ones come', () => {
  const clock = new CloudClock(1_800_000_000_000);
  const addresses = new Addresses({ connections: 10, handshakesPerSecond: 10 }, clock);
  const walked = vi.spyOn(Map.prototype, Symbol.iterator);
  const come = (from: number, count: number): void => {
    for (let n = from; n < from + count; n += 1) addresses.enter(`10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`);
  };
  come(0, 10_000);
  const before = walked.mock.calls.length;
  come(10_000, 5_000);
  expect(walked.mock.calls.length - before).toBe(1);
  clock.advance(1_000);
  come(15_000, 5_000);
  expect(walked.mock.calls.length - before).toBe(2);
  walked.mockRestore();
});
