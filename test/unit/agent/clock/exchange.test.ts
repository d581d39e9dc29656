import { exchangeOf, MAX_RATE_ERROR, roundTripMs, type Moment } from '@paddock/agent/clock/exchange.ts';
import { toInstant, uptimeMs, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const NOON = Date.UTC(2026, 10, 23, 12);
const moment = (at: number, segment = 0): Moment => ({ at: uptimeMs(at), segment });
const stamps = (receivedAt: number, sentAt: number) => ({
  receivedAt: toInstant(wallMs(receivedAt)),
  sentAt: toInstant(wallMs(sentAt)),
});

describe('an exchange', () => {
  it('has the four timestamps, and its round trip is what was not spent in the cloud', () => {
    const made = exchangeOf(moment(1_000), stamps(NOON, NOON + 40), moment(1_100));
    const exchange = { requestUptimeMs: 1_000, responseUptimeMs: 1_100, ...stamps(NOON, NOON + 40) };
    expect(made).toEqual({ exchange });
    expect(roundTripMs(exchange)).toBe(60);
  });

  it.each([
    ['across a suspend', moment(1_000, 0), stamps(NOON, NOON), moment(1_100, 3), 'exchange_suspended'],
    ['sent before it was received', moment(1_000), stamps(NOON, NOON - 1), moment(1_100), 'exchange_backwards'],
    [
      'of a date that there is not',
      moment(1_000),
      { receivedAt: '2026-13-01T00:00:00.000Z', sentAt: '2026-13-01T00:00:00.000Z' },
      moment(1_100),
      'exchange_backwards',
    ],
    ['held for longer than it took', moment(1_000), stamps(NOON, NOON + 104), moment(1_100), 'exchange_contradicts'],
    ['answered before it was sent', moment(1_100), stamps(NOON, NOON), moment(1_000), 'exchange_contradicts'],
  ])('is none when it is %s', (_what, request, answer, response, fault) => {
    expect(exchangeOf(request, answer, response)).toEqual({ fault });
  });

  it('may say any time at all: it is the wall clock of the device that is wrong', () => {
    for (const at of [0, Date.UTC(2035, 0, 1), Date.UTC(1999, 0, 1)])
      expect(exchangeOf(moment(1_000), stamps(at, at + 1), moment(1_002))).toHaveProperty('exchange');
  });

  it('is never refused when it happened, whatever the crystal and however short the ways', () => {
    fc.assert(
      fc.property(
        fc.double({ min: -MAX_RATE_ERROR, max: MAX_RATE_ERROR, noNaN: true }),
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        fc.tuple(
          fc.double({ min: 0, max: 2, noNaN: true }),
          fc.double({ min: 0, max: 1e6, noNaN: true }),
          fc.double({ min: 0, max: 2, noNaN: true }),
        ),
        (rate, sent, [there, inCloud, back]) => {
          const uptimeAt = (t: number): Moment => moment(Math.floor(t * (1 + rate)));
          const received = NOON + sent + there;
          const answer = stamps(Math.floor(received), Math.floor(received + inCloud));
          const made = exchangeOf(uptimeAt(sent), answer, uptimeAt(sent + there + inCloud + back));
          expect(made).toHaveProperty('exchange');
        },
      ),
    );
  });
});
