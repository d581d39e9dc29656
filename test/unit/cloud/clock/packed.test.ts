import { observe, type ClockRecord } from '@paddock/cloud/clock/clock.ts';
import { packClock, unpackClock } from '@paddock/cloud/clock/packed.ts';
import { wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';

const BEGAN = 1_795_464_000_000;

it('reads every clock back from its row as it was, whatever it went through', () => {
  const piece = fc.record({
    gapMs: fc.integer({ min: 1, max: 7_200_000 }),
    delayMs: fc.integer({ min: 0, max: 30_000 }),
    jumpMs: fc.constantFrom(0, 0, 0, 0, 3_600_000),
    exchange: fc.boolean(),
    wallSkewMs: fc.option(fc.constantFrom(0, 10, -7_000_000)),
  });
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      let record: ClockRecord | null = null;
      let [uptimeMs, offsetMs] = [0, BEGAN];
      for (const { gapMs, delayMs, jumpMs, exchange, wallSkewMs } of pieces) {
        uptimeMs += gapMs;
        offsetMs += jumpMs;
        const receivedAt = wallMs(offsetMs + uptimeMs + delayMs);
        const cloudReceivedAt = wallMs(receivedAt - delayMs - 1);
        const requestUptimeMs = Math.max(0, uptimeMs - 1);
        const stamped = { cloudReceivedAt, cloudSentAt: cloudReceivedAt, cloudErrorMs: 0.25 };
        const told = { requestUptimeMs, ...stamped, responseUptimeMs: uptimeMs };
        const wall = wallSkewMs === null ? null : wallMs(offsetMs + uptimeMs + wallSkewMs);
        const evidence = { uptimeMs, receivedAt, wallMs: wall, exchanges: exchange ? [told] : [], cloudErrorMs: 0.25 };
        record = observe(record, evidence).clock;
        expect(unpackClock(JSON.parse(JSON.stringify(packClock(record))))).toEqual(record);
      }
    }),
    { numRuns: 200 },
  );
});
