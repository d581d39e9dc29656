import { TokenError } from '@paddock/agent/adapters/pkcs11/error.ts';
import { createTokenLife } from '@paddock/agent/adapters/pkcs11/life.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeClock } from '../../../../harness/agent/fake-clock.ts';

const BYTES = new Uint8Array([1, 2, 3]);
const SIGNATURE = new Uint8Array([9]);
const gone = (): TokenError => new TokenError('token_missing', 'There is no token');

let clock: FakeClock;
/** When the token was opened again, in ms since the beginning. */
let openings: number[];
let told: string[];
/** What opening and signing do. */
let opening: () => Promise<string>;
let signing: () => Promise<Uint8Array>;
let most: number;
let atOnce: number;
let sign: (bytes: Uint8Array) => Promise<Uint8Array>;

beforeEach(() => {
  clock = new FakeClock();
  [openings, told, most, atOnce] = [[], [], 0, 0];
  opening = async () => 'opened';
  signing = async () => SIGNATURE;
  sign = createTokenLife('first', {
    clock,
    open() {
      openings.push(clock.monotonic() - 1_000);
      return opening();
    },
    async use() {
      atOnce += 1;
      most = Math.max(most, atOnce);
      return signing().finally(() => (atOnce -= 1));
    },
    lost: ({ code }) => void told.push(code),
    back: () => void told.push('back'),
  });
});

/** What became of a signature that was asked for. */
const outcome = (asked: Promise<Uint8Array>): Promise<string> =>
  asked.then(
    () => 'signed',
    (cause: { code: string }) => cause.code,
  );

describe('a token', () => {
  it('is opened once and asked for one signature at a time', async () => {
    signing = () => clock.sleep(10).then(() => SIGNATURE);
    const all = Promise.all(Array.from({ length: 20 }, () => outcome(sign(BYTES))));
    await clock.advance(1_000);
    expect(new Set(await all)).toEqual(new Set(['signed']));
    expect([most, openings.length, told]).toEqual([1, 0, []]);
  });

  it('that loses its session is opened again for the same signature', async () => {
    let fails = 1;
    signing = async () => {
      if (fails-- > 0) throw new TokenError('token_failed', 'CKR_SESSION_HANDLE_INVALID');
      return SIGNATURE;
    };
    const asked = outcome(sign(BYTES));
    await clock.advance(0);
    expect([await asked, openings, told]).toEqual(['signed', [0], ['token_failed', 'back']]);
  });

  it('that is gone is waited for with patience, then left alone for growing rests of a minute at most', async () => {
    signing = async () => {
      throw gone();
    };
    opening = async () => {
      throw gone();
    };
    const outcomes = [outcome(sign(BYTES))];
    for (let second = 0; second < 300; second += 1) {
      await clock.advance(1_000);
      outcomes.push(outcome(sign(BYTES)));
    }
    expect(new Set(await Promise.all(outcomes))).toEqual(new Set(['token_missing']));
    expect(told).toEqual(['token_missing']);
    const rests = openings.slice(1).map((at, n) => at - (openings[n] ?? 0));
    expect(openings.slice(0, 4)).toEqual([0, 250, 1_000, 3_000]);
    expect(rests.slice(3)).toEqual([4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
  });

  it('is back by itself', async () => {
    signing = async () => {
      throw gone();
    };
    const lost = outcome(sign(BYTES));
    await clock.advance(5_000);
    signing = async () => SIGNATURE;
    await clock.advance(60_000);
    const asked = outcome(sign(BYTES));
    await clock.advance(0);
    expect([await lost, await asked, told]).toEqual(['token_missing', 'signed', ['token_missing', 'back']]);
  });

  it('is not waited for when somebody has to do something', async () => {
    signing = async () => {
      throw gone();
    };
    opening = async () => {
      throw new TokenError('pin_refused', 'no');
    };
    const asked = outcome(sign(BYTES));
    await clock.advance(0);
    expect([await asked, openings]).toEqual(['pin_refused', [0]]);
  });

  it('that hangs is asked for nothing else until it has answered', async () => {
    let answer: (signature: Uint8Array) => void = () => {};
    signing = () => new Promise((resolve) => (answer = resolve));
    const first = outcome(sign(BYTES));
    await clock.advance(30_000);
    expect(await first).toBe('token_silent');
    await clock.advance(600_000);
    const second = outcome(sign(BYTES));
    await clock.advance(0);
    expect([await second, openings]).toEqual(['token_silent', []]);
    signing = async () => SIGNATURE;
    answer(SIGNATURE);
    await clock.advance(0);
    const third = outcome(sign(BYTES));
    await clock.advance(0);
    expect([await third, openings.length, told]).toEqual(['signed', 1, ['token_silent', 'back']]);
  });
});
