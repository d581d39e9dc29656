import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { collect, type Surroundings } from './evidence.ts';
import { judge, type Verdict } from './judge.ts';
import { isKill, KINDS, planBlows, type Blow } from './plan.ts';
import { warnings } from './warnings.ts';
import { World, WORLDS, type BrokerChoice } from './world.ts';

/** The same blows at the same moments; what they hit is up to the machine. */
const SEED = Number(process.env['PADDOCK_CHAOS_SEED'] || 20_261);
/** Kills in each run. */
const KILLS = Number(process.env['PADDOCK_CHAOS_KILLS'] || 8);
const KIOSKS = 3;
const TIMEOUT_MS = 300_000 + KILLS * 15_000;
/** A service that keeps what it cannot record yet would pass this within a long run; it needs about a quarter. */
const MOST_MIB = 600;

const rows = (values: object): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');

function table(broker: BrokerChoice, plan: readonly Blow[], verdict: Verdict, around: Surroundings): string {
  const counts = Object.fromEntries(
    Object.keys(KINDS).map((kind) => [kind, plan.filter((blow) => blow.kind === kind).length]),
  );
  return [
    `chaos: ${broker} broker, seed ${SEED}, ${KIOSKS} kiosks, ${plan.filter(isKill).length} kills`,
    `  blows     ${rows(counts)}`,
    `  events    ${rows(verdict.events)}`,
    `  reports   sends ${around.reportsSent}, ${rows(verdict.reports)}`,
    `  spilled   ${rows(verdict.spilled)}`,
    `  changes   ${rows(verdict.changes)}`,
    `  intervals ${rows(verdict.intervals)}`,
    `  memory    agent ${around.peakMiB.agent} MiB, cloud ${around.peakMiB.cloud} MiB at most`,
    `  ends without a kill: agent ${around.ownEnds.agent.length}, cloud ${around.ownEnds.cloud.length}`,
    `  starts of the cloud that failed because its database was away: ${around.failedStarts}`,
    ...(['agent', 'cloud'] as const).map((name) => `  ${name} warned: ${rows(warnings(around.logs[name]))}`),
    '',
  ].join('\n');
}

describe('kill -9 of every part in turn, and a network that breaks', () => {
  let world: World | null = null;

  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail';
    if (failed) process.stdout.write(`chaos: seed ${SEED} failed; its logs are in ${world?.folder}\n`);
    await world?.close(failed);
    world = null;
  });

  it.each(['embedded', 'mosquitto'] as const)(
    'loses and repeats nothing that was accepted or answered (%s broker)',
    { timeout: TIMEOUT_MS },
    async (broker) => {
      const plan = planBlows(SEED, WORLDS[broker].kinds, KILLS);
      world = await World.build(broker, SEED);
      await world.begin(KIOSKS);
      for (const blow of plan) {
        if (blow.afterAnswer) await world.hearAnswer();
        await sleep(blow.afterMs);
        await world.strike(blow);
      }
      await world.settle();
      const { kiosks, around } = await collect(world);
      const verdict = judge(kiosks);
      process.stdout.write(table(broker, plan, verdict, around));

      expect(verdict.findings).toEqual([]);
      expect(verdict.events).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.reports).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.spilled).toMatchObject({ lost: 0 });
      expect(verdict.changes).toMatchObject({ lost: 0, repeated: 0, invented: 0 });
      expect(verdict.intervals).toMatchObject({ false: 0 });
      expect(verdict.events.recorded).toBeGreaterThanOrEqual(verdict.events.accepted);
      expect(new Set(around.goodbyes)).toEqual(new Set(['code 0']));
      expect(around.leftBehind).toEqual([]);
      expect(around.ownEnds).toEqual({ agent: [], cloud: [] });
      expect(around.peakMiB.cloud).toBeLessThan(MOST_MIB);
    },
  );
});
