import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import { MAX_CRASHES, parseCrash, type Crash } from '@paddock/shared/crash.ts';
import { deflater, inflater } from '@paddock/agent/adapters/deflate.ts';
import { CRASHES_FILE, parseBook, type CrashBook, type WaitingCrash } from '@paddock/agent/past/book.ts';
import { keepCrashes, type CrashKeeper } from '@paddock/agent/past/keeper.ts';
import { FakeClock, until } from '../../../harness/agent/fake-clock.ts';
import { FakeLink } from '../../../harness/agent/fake-link.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const DEVICE = 'kiosk-0417';
const AGAIN_MS = 600_000;
const MOST_TRIES = 20;

let key: TestKey;
beforeEach(async () => {
  key ??= await makeTestKey();
});

const idOf = (number: number): string => `${number}`.padStart(24, '0');
const waiting = (number: number, more: Partial<WaitingCrash> = {}): WaitingCrash => ({
  crash: {
    v: 1,
    id: idOf(number),
    incarnation: 'Zp3vK8s0LqE',
    start: 5,
    boot: { id: 'c9a646d3-9c61' },
    uptimeMs: 1_000,
    began: { agent: { reason: 'agent_crash', basedOn: ['no-clean-end'] } },
    breadcrumbs: [],
  },
  tries: 0,
  panics: [],
  ...more,
});

/** A keeper of these reports, connected, whose cloud is the test. */
function keeping(book: CrashBook) {
  const [clock, disk, link] = [new FakeClock(), new MemoryDisk(), new FakeLink()];
  const [codes, taken]: [string[], string[]] = [[], []];
  link.connect();
  const parts = {
    clock,
    disk,
    link,
    signer: key.signing,
    deflater,
    log: quietLog(codes),
    takeAway: async (files: readonly string[]) => void taken.push(...files),
  };
  const keeper = keepCrashes(parts, DEVICE, book);
  return { clock, disk, link, codes, taken, keeper, sent: () => Promise.all(link.published.map(opened)) };
}

const opened = async ({ topic, payload }: { topic: string; payload: string }): Promise<Crash> => {
  expect(topic).toBe(`paddock/v1/${DEVICE}/crash`);
  return parseCrash(await openEnvelope(parseEnvelope(payload), key.verification, inflater));
};

/** An answer that knows these, taken to its end. */
const answer = (keeper: CrashKeeper, ...known: number[]): Promise<void> =>
  keeper.answered({ crashes: known.map(idOf) });

const onDisk = async (disk: MemoryDisk): Promise<string[]> => {
  const book = await parseBook(await disk.read(CRASHES_FILE));
  return typeof book === 'string' ? [book] : book.waiting.map(({ crash, tries }) => `${Number(crash.id)} x${tries}`);
};

describe('a crash report that waits', () => {
  it('is named in reports, and sent with the first answer that does not know it, as the device that it is', async () => {
    const { keeper, sent, disk } = keeping({ waiting: [waiting(1), waiting(2)], told: [] });
    expect(keeper.ids()).toEqual([idOf(1), idOf(2)]);
    expect(await sent()).toEqual([]);
    await answer(keeper);
    expect(await sent()).toMatchObject([
      { id: idOf(1), device: DEVICE },
      { id: idOf(2), device: DEVICE },
    ]);
    expect(await onDisk(disk)).toEqual(['1 x1', '2 x1']);
  });

  it('is sent again by an answer ten minutes later, and not before', async () => {
    const { keeper, link, clock } = keeping({ waiting: [waiting(1)], told: [] });
    await answer(keeper);
    clock.skip(AGAIN_MS - 1);
    await answer(keeper);
    expect(link.published).toHaveLength(1);
    clock.skip(1);
    await answer(keeper);
    expect(link.published).toHaveLength(2);
  });

  it('goes when the cloud has it, with what the machine kept of its panic', async () => {
    const book = { waiting: [waiting(1, { panics: ['/p/1'] }), waiting(2, { panics: ['/p/2', '/p/3'] })], told: [] };
    const { keeper, disk, taken, link } = keeping(book);
    await answer(keeper, 2);
    expect([keeper.ids(), taken]).toEqual([[idOf(1)], ['/p/2', '/p/3']]);
    expect(await onDisk(disk)).toEqual(['1 x1']);
    await answer(keeper, 1, 2);
    expect([keeper.ids(), taken, await onDisk(disk)]).toEqual([[], ['/p/2', '/p/3', '/p/1'], []]);
    expect(link.published).toHaveLength(1);
  });

  it('goes from the disk before what the machine kept does: a power cut between the two tells nothing twice', async () => {
    const { keeper, disk, taken } = keeping({ waiting: [waiting(1, { panics: ['/p/1'] })], told: ['p'.repeat(22)] });
    const goOn = disk.hang(CRASHES_FILE);
    const answered = answer(keeper, 1);
    await until(() => disk.hanging === 1, 'it is written');
    expect(taken).toEqual([]);
    goOn();
    await answered;
    expect(taken).toEqual(['/p/1']);
    expect(await parseBook(await disk.read(CRASHES_FILE))).toEqual({ waiting: [], told: ['p'.repeat(22)] });
  });

  it('that does not reach the broker has not been sent, and is with the next answer', async () => {
    const { keeper, link, disk, codes } = keeping({ waiting: [waiting(1)], told: [] });
    link.cut();
    await answer(keeper);
    expect([codes, disk.writes]).toEqual([['link_offline'], []]);
    link.connect();
    await answer(keeper);
    expect(link.published).toHaveLength(1);
  });

  it('is let go after twenty times in vain, and what the machine kept stays', async () => {
    const { keeper, link, clock, disk, taken } = keeping({ waiting: [waiting(1, { panics: ['/p/1'] })], told: [] });
    for (let round = 0; round < MOST_TRIES + 5; round += 1) {
      await answer(keeper);
      clock.skip(AGAIN_MS);
    }
    expect([link.published.length, keeper.ids(), taken]).toEqual([MOST_TRIES, [], []]);
    expect(await onDisk(disk)).toEqual([]);
  });

  it('is sent all the same where the disk takes nothing, which is said', async () => {
    const { keeper, link, disk, codes, clock } = keeping({ waiting: [waiting(1)], told: [] });
    disk.failNext(1);
    await answer(keeper);
    expect([link.published.length, codes.length]).toEqual([1, 1]);
    clock.skip(AGAIN_MS);
    await answer(keeper);
    expect(await onDisk(disk)).toEqual(['1 x2']);
  });
});

describe('the keeper', () => {
  it('does nothing where nothing waits, whatever an answer knows', async () => {
    const { keeper, link, disk } = keeping({ waiting: [], told: [] });
    await answer(keeper, 1, 2);
    expect([link.published, disk.writes]).toEqual([[], []]);
  });

  it('takes one answer after the other, so that two at once send nothing twice', async () => {
    const { keeper, link } = keeping({ waiting: [waiting(1), waiting(2)], told: [] });
    await Promise.all([answer(keeper), answer(keeper), answer(keeper)]);
    expect(link.published).toHaveLength(2);
  });

  it('sends nothing any more once it was stopped, and has written when that is through', async () => {
    const { keeper, link, disk, clock } = keeping({ waiting: [waiting(1), waiting(2)], told: [] });
    const goOn = disk.hang(CRASHES_FILE);
    const answered = answer(keeper);
    await until(() => disk.hanging === 1, 'the first one is written down');
    const ended: string[] = [];
    const stopping = keeper.stop().then(() => ended.push('stopped'));
    void answered.then(() => ended.push('answered'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(ended).toEqual([]);
    goOn();
    await stopping;
    clock.skip(AGAIN_MS);
    await answer(keeper);
    expect([link.published.length, await onDisk(disk)]).toEqual([1, ['1 x1', '2 x0']]);
  });
});

it('whatever answers know, in whatever order: what is held is what none of them knew, and the disk has the same', async () => {
  const round = fc.record({
    known: fc.uniqueArray(fc.integer({ min: 1, max: MAX_CRASHES + 1 })),
    skipMs: fc.constantFrom(0, AGAIN_MS - 1, AGAIN_MS),
    isOnline: fc.boolean(),
  });
  const held = fc.uniqueArray(fc.integer({ min: 1, max: MAX_CRASHES }), { minLength: 1 });
  await fc.assert(
    fc.asyncProperty(held, fc.array(round, { maxLength: 6 }), async (numbers, rounds) => {
      const { keeper, disk, link, clock, taken, sent } = keeping({
        waiting: numbers.map((number) => waiting(number, { panics: [`/p/${number}`] })),
        told: [],
      });
      for (const { known, skipMs, isOnline } of rounds) {
        if (isOnline) link.connect();
        else link.cut();
        clock.skip(skipMs);
        await answer(keeper, ...known);
      }
      await keeper.stop();
      const known = new Set(rounds.flatMap((one) => one.known));
      const left = numbers.filter((number) => !known.has(number));
      expect(keeper.ids()).toEqual(left.map(idOf));
      expect(taken.toSorted()).toEqual(
        numbers
          .filter((number) => known.has(number))
          .map((number) => `/p/${number}`)
          .toSorted(),
      );
      if (disk.writes.length > 0) expect((await onDisk(disk)).map((one) => Number(one.split(' ')[0]))).toEqual(left);
      // Of each no more than one in ten minutes, and none after the answer that knew it.
      const last = (number: number): number => rounds.findIndex((one) => one.known.includes(number));
      for (const number of numbers) {
        const times = (await sent()).filter(({ id }) => id === idOf(number)).length;
        expect(times).toBeLessThanOrEqual(last(number) === -1 ? rounds.length : last(number));
      }
    }),
    { numRuns: 30 },
  );
});
