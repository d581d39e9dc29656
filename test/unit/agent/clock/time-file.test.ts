import { formatStatus, parseStatus, statusOf } from '@paddock/agent/clock/clock-status.ts';
import { formatTime, isWorthKeeping, isWorthKeepingAtLast, parseTime } from '@paddock/agent/clock/time-file.ts';
import { uptimeMs, wallMs } from '@paddock/shared/time.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const NOON = wallMs(Date.UTC(2026, 10, 23, 12));
const DAY = 86_400_000;

describe('the file of trusted time', () => {
  it('gives back what was written', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: Date.UTC(9999, 0, 1) }), async (at) => {
        expect(await parseTime(await formatTime(wallMs(at)))).toBe(at);
      }),
    );
  });

  it('is never believed when a byte is missing or another', async () => {
    const whole = await formatTime(NOON);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 2), fc.nat(255), async (at, value) => {
        expect(await parseTime(whole.slice(0, at))).toBeTypeOf('string');
        if (whole[at] !== value) expect(await parseTime(whole.with(at, value))).toBeTypeOf('string');
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    ['missing', null],
    ['empty', bytes('')],
    ['foreign', new Uint8Array(48)],
    ['foreign', bytes('{"trusted":"2026-11-23T12:00:00.000Z"}')],
    ['foreign', Uint8Array.of(0xff, 0xfe, 0x80)],
    ['damaged', bytes('2026-11-23T12:00:00.000Z AAAAAAAAAAAAAAAAAAAAAA\n')],
  ])('is %s', async (loss, content) => {
    expect(await parseTime(content)).toBe(loss);
  });

  it('is written at most once a day of uptime, and only when it says something new', () => {
    const at = (ms: number): ReturnType<typeof uptimeMs> => uptimeMs(ms);
    const first = { wall: null, writtenAt: null };
    expect(isWorthKeeping(first, NOON, at(5))).toBe(true);
    const found = { wall: NOON, writtenAt: null };
    expect(isWorthKeeping(found, wallMs(NOON + DAY - 1), at(5))).toBe(false);
    expect(isWorthKeeping(found, wallMs(NOON + DAY), at(5))).toBe(true);
    // A floor in the future is proved wrong.
    expect(isWorthKeeping(found, wallMs(NOON - 60_001), at(5))).toBe(true);
    expect(isWorthKeeping(found, wallMs(NOON - 60_000), at(5))).toBe(false);
    const written = { wall: NOON, writtenAt: at(5) };
    expect(isWorthKeeping(written, wallMs(0), at(DAY + 4))).toBe(false);
    expect(isWorthKeeping(written, wallMs(NOON + DAY), at(DAY + 5))).toBe(true);
  });

  it('is written at the end of a start unless it says as good as that already', () => {
    expect(isWorthKeepingAtLast({ wall: null, writtenAt: null }, NOON)).toBe(true);
    expect(isWorthKeepingAtLast({ wall: NOON, writtenAt: uptimeMs(5) }, wallMs(NOON + 60_000))).toBe(false);
    expect(isWorthKeepingAtLast({ wall: NOON, writtenAt: uptimeMs(5) }, wallMs(NOON + 60_001))).toBe(true);
  });
});

describe('the status for programs beside the agent', () => {
  const bound = { at: uptimeMs(5), wall: NOON };
  const status = statusOf(
    'boot',
    { segment: 3, lower: bound, upper: bound },
    {
      requestUptimeMs: 10,
      responseUptimeMs: 60,
      receivedAt: '2026-11-23T12:00:00.000Z',
      sentAt: '2026-11-23T12:00:00.010Z',
    },
  );

  it('gives back what was written', () => {
    expect(status).toMatchObject({ exchangedAt: 60, roundTripMs: 40 });
    expect(parseStatus(formatStatus(status))).toEqual(status);
  });

  it.each([null, '', '\0\0\0\0', '{}', 'null', '{"bootId":"boot","anchor":{}}', '[1'])(
    'is nothing when it holds %j',
    (text) => {
      expect(parseStatus(text === null ? null : bytes(text))).toBeNull();
    },
  );
});
