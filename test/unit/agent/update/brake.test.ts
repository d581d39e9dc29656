import { createBrake } from '@paddock/agent/update/brake.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

const GO_ON = new AbortController().signal;
const PIECE = 1_000;

/** Lets pieces come as fast as the brake lets them. @returns bytes that had come after each second */
async function bytesBySecond(clock: FakeClock, bytesPerSecond: number, seconds: number): Promise<number[]> {
  const brake = createBrake(clock, bytesPerSecond);
  const stop = new AbortController();
  let bytes = 0;
  const transfer = (async () => {
    for (;;) {
      await brake(PIECE, stop.signal);
      bytes += PIECE;
    }
  })().catch(() => {});
  const after: number[] = [];
  for (let second = 0; second < seconds; second += 1) {
    await clock.advance(1_000);
    after.push(bytes);
  }
  stop.abort();
  await transfer;
  return after;
}

describe('the brake of a download', () => {
  it('lets a second come at once, and then so many bytes each second', async () => {
    expect(await bytesBySecond(new FakeClock(), 10_000, 5)).toEqual([20_000, 30_000, 40_000, 50_000, 60_000]);
  });

  it('does not save up while nothing comes', async () => {
    const clock = new FakeClock();
    const brake = createBrake(clock, 10_000);
    await brake(PIECE, GO_ON);
    clock.skip(3_600_000);
    let isThrough = false;
    const one = brake(10_000, GO_ON)
      .then(() => brake(10_000, GO_ON))
      .then(() => void (isThrough = true));
    await clock.advance(900);
    expect(isThrough).toBe(false);
    await clock.advance(100);
    expect(isThrough).toBe(true);
    await one;
  });

  it('lets go at once of a download that is to end', async () => {
    const stop = new AbortController();
    const reason = new Error('somebody else is wanted');
    const held = createBrake(new FakeClock(), 10)(PIECE, stop.signal);
    stop.abort(reason);
    await expect(held).rejects.toBe(reason);
  });

  it('holds nothing up where there is no limit', async () => {
    await expect(createBrake(new FakeClock(), undefined)(1_000_000_000, GO_ON)).resolves.toBeUndefined();
  });
});
