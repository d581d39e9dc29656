import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_TROUBLES, type Trouble } from '@paddock/shared/began.ts';
import { startPulse, type Pulse } from '@paddock/agent/past/pulse.ts';
import type { More } from '@paddock/agent/past/entry.ts';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

const BEAT = 10_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const MEMORY = { rssMiB: 70, heapMiB: 20, heapLimitMiB: 64 };
const HOT: Trouble = { code: 'temperature_high', part: 'thermal_zone0' };

let pulse: Pulse | null = null;
afterEach(async () => {
  await pulse?.stop();
  pulse = null;
});

/** A pulse on a clock that does not move by itself, and a machine that is as a test says. */
function beating(first: readonly Trouble[] = []) {
  const clock = new FakeClock();
  const said: object[] = [];
  const pulses: More[] = [];
  const machine = { looks: 0, troubles: async (): Promise<readonly Trouble[]> => first };
  const note =
    (level: string) =>
    (fields: object, message: string): void =>
      void said.push({ level, message, ...fields });
  const started = startPulse({
    clock,
    vitals: {
      memory: () => MEMORY,
      troubles() {
        machine.looks += 1;
        return machine.troubles();
      },
    },
    recorder: {
      note() {},
      pulse: (more) => void pulses.push(more),
      async keep() {},
      lastWords() {},
      async close() {},
    },
    log: { info: note('info'), warn: note('warn') },
  });
  pulse = started;
  return { clock, said, pulses, machine, pulse: started };
}

describe('the pulse', () => {
  it('is written down once an hour, with memory and how late the loop was at worst since', async () => {
    const { clock, pulses, said } = beating();
    await clock.advance(HOUR - 1);
    expect(pulses).toEqual([]);
    await clock.advance(1);
    expect(pulses).toEqual([{ ...MEMORY, lateMs: 0 }]);
    // The machine stands still in the middle of a beat, twice.
    clock.skip(BEAT + 700);
    await clock.advance(BEAT);
    clock.skip(BEAT + 300);
    await clock.advance(HOUR);
    expect(pulses[1]).toEqual({ ...MEMORY, lateMs: 700 });
    await clock.advance(HOUR);
    expect(pulses[2]).toEqual({ ...MEMORY, lateMs: 0 });
    expect(said).toEqual([]);
  });

  it('says that the loop was held up, from a second on, each time', async () => {
    const { clock, said } = beating();
    await clock.advance(0);
    clock.skip(BEAT + 999);
    await clock.advance(BEAT);
    expect(said).toEqual([]);
    clock.skip(BEAT + 1_000);
    await clock.advance(BEAT);
    expect(said).toMatchObject([{ level: 'warn', code: 'loop_late', lateMs: 1_000 }]);
  });

  it('stops at once in the middle of a beat, and writes nothing more', async () => {
    const { clock, pulses, machine, pulse: stopped } = beating();
    await clock.advance(HOUR - BEAT / 2);
    const { looks } = machine;
    await stopped.stop();
    await clock.advance(2 * HOUR);
    expect([pulses, machine.looks]).toEqual([[], looks]);
  });
});

describe('a look at the machine', () => {
  it('is taken at the start and once a minute', async () => {
    const { clock, machine } = beating();
    await clock.advance(0);
    expect(machine.looks).toBe(1);
    await clock.advance(MINUTE - 1);
    expect(machine.looks).toBe(1);
    await clock.advance(1);
    expect(machine.looks).toBe(2);
    await clock.advance(10 * MINUTE);
    expect(machine.looks).toBe(12);
  });

  it('tells what came and what went, once each, also where a count goes on', async () => {
    const { clock, said, machine, pulse: known } = beating([HOT]);
    await clock.advance(0);
    expect(said).toEqual([{ level: 'warn', message: 'A part is as hot as it may get', ...HOT }]);
    machine.troubles = async () => [HOT, { code: 'disk_errors', part: 'sda1', count: 2 }];
    await clock.advance(MINUTE);
    machine.troubles = async () => [{ code: 'disk_errors', part: 'sda1', count: 3 }];
    await clock.advance(2 * MINUTE);
    expect(said.slice(1)).toEqual([
      {
        level: 'warn',
        message: 'The file system has counted errors of its disk',
        code: 'disk_errors',
        part: 'sda1',
        count: 2,
      },
      { level: 'info', message: 'A trouble of the machine is over', ...HOT },
    ]);
    expect(known.troubles()).toEqual([{ code: 'disk_errors', part: 'sda1', count: 3 }]);
  });

  it('of another part is another trouble, and one of a word that is not known is told by its word', async () => {
    const other = { ...HOT, part: 'thermal_zone1' };
    const { clock, said, machine } = beating([HOT]);
    await clock.advance(0);
    machine.troubles = async () => [HOT, other, { code: 'toString' }];
    await clock.advance(MINUTE);
    expect(said.slice(1)).toMatchObject([
      { level: 'warn', ...other },
      { level: 'warn', message: 'toString', code: 'toString' },
    ]);
  });

  it('that fails leaves what was known', async () => {
    const { clock, said, machine, pulse: known } = beating([HOT]);
    await clock.advance(0);
    machine.troubles = () => Promise.reject(new Error('no'));
    await clock.advance(MINUTE);
    expect([known.troubles(), said.length]).toEqual([[HOT], 1]);
    machine.troubles = async () => [];
    await clock.advance(MINUTE);
    expect(known.troubles()).toEqual([]);
  });

  it('that hangs holds up neither the beats nor the end, and no other is begun beside it', async () => {
    const { clock, machine, pulses, said, pulse: known } = beating();
    const hanging = Promise.withResolvers<readonly Trouble[]>();
    machine.troubles = () => hanging.promise;
    await clock.advance(3 * HOUR);
    expect(machine.looks).toBe(2);
    expect(pulses).toHaveLength(2);
    hanging.resolve([HOT]);
    await clock.advance(MINUTE + BEAT);
    expect(known.troubles()).toEqual([HOT]);
    expect(said).toMatchObject([HOT]);
    machine.troubles = () => new Promise(() => {});
    await clock.advance(MINUTE + BEAT);
    await known.stop();
  });
});

it('errors of the disk that were met are a trouble of their own, counted', async () => {
  const { clock, pulse: known } = beating([HOT]);
  await clock.advance(0);
  known.diskFailed();
  known.diskFailed();
  expect(known.troubles()).toEqual([HOT, { code: 'disk_failing', count: 2 }]);
});

it('whatever the machine says from one look to the next, what came is told once, and so is what went', async () => {
  const trouble = fc.constantFrom<Trouble>(
    HOT,
    { ...HOT, part: 'thermal_zone1' },
    { code: 'undervoltage' },
    { code: 'disk_errors', part: 'sda1', count: 1 },
  );
  const looks = fc.array(fc.uniqueArray(trouble, { maxLength: MAX_TROUBLES }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(looks, async (rounds) => {
      const { clock, said, machine, pulse: known } = beating(rounds[0] ?? []);
      await clock.advance(0);
      for (const round of rounds.slice(1)) {
        machine.troubles = async () => round;
        await clock.advance(MINUTE);
      }
      await known.stop();
      const came = said.filter((line) => 'level' in line && line.level === 'warn').length;
      const went = said.length - came;
      const changes = rounds.map((round, at) => {
        const before = at === 0 ? [] : (rounds[at - 1] ?? []);
        return [
          round.filter((one) => !before.includes(one)).length,
          before.filter((one) => !round.includes(one)).length,
        ];
      });
      expect(came).toBe(changes.reduce((sum, [more = 0]) => sum + more, 0));
      expect(went).toBe(changes.reduce((sum, [, less = 0]) => sum + less, 0));
      expect(came - went).toBe(known.troubles().length);
    }),
    { numRuns: 50 },
  );
});
