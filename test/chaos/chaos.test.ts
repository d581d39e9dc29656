import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { judge, type Evidence, type Verdict } from './judge.ts';
import { KINDS, planKills, type Kill, type Kind } from './plan.ts';
import { warnings } from './warnings.ts';
import { World, type BrokerChoice, type Surroundings } from './world.ts';

/** The same kills at the same moments; what they hit is up to the machine. */
const SEED = Number(process.env['PADDOCK_CHAOS_SEED'] || 20_261);
/** Kills in each run. */
const KILLS = Number(process.env['PADDOCK_CHAOS_KILLS'] || 12);
const TIMEOUT_MS = 300_000 + KILLS * 15_000;
/** A service that keeps what it cannot record yet would pass this within a long run; it needs about a quarter. */
const MOST_MIB = 600;

const RUNS = [
  { broker: 'embedded', kinds: ['agent', 'cloud', 'database'] },
  { broker: 'mosquitto', kinds: KINDS },
] as const satisfies readonly { broker: BrokerChoice; kinds: readonly Kind[] }[];

const rows = (values: object): string =>
  Object.entries(values)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');

function table(broker: BrokerChoice, plan: readonly Kill[], verdict: Verdict, found: Evidence & Surroundings): string {
  const kills = Object.fromEntries(KINDS.map((kind) => [kind, plan.filter((kill) => kill.kind === kind).length]));
  return [
    `chaos: ${broker} broker, seed ${SEED}`,
    `  kills    ${rows(kills)}`,
    `  events   ${rows(verdict.events)}`,
    `  reports  sends ${found.reportsSent}, ${rows(verdict.reports)}`,
    `  memory   agent ${found.peakMiB.agent} MiB, cloud ${found.peakMiB.cloud} MiB at most`,
    `  ends without a kill: agent ${found.ownEnds.agent.length}, cloud ${found.ownEnds.cloud.length}`,
    `  starts of the cloud that failed because its database was killed: ${found.failedStarts}`,
    ...(['agent', 'cloud'] as const).map((name) => `  ${name} warned: ${rows(warnings(found.logs[name]))}`),
    '',
  ].join('\n');
}

describe('kill -9 of every part in turn', () => {
  let world: World | null = null;

  afterEach(async ({ task }) => {
    await world?.close(task.result?.state === 'fail');
    world = null;
  });

  it.each(RUNS)(
    'loses and repeats nothing that was accepted or answered ($broker broker)',
    { timeout: TIMEOUT_MS },
    async ({ broker, kinds }) => {
      const plan = planKills(SEED, kinds, KILLS);
      world = await World.build(broker, SEED);
      await world.begin();
      for (const { kind, afterMs } of plan) {
        await sleep(afterMs);
        await world.kill(kind);
      }
      await world.settle();
      const found = await world.evidence();
      const verdict = judge(found);
      process.stdout.write(table(broker, plan, verdict, found));

      expect(verdict.findings).toEqual([]);
      expect(verdict.events).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.reports).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.events.recorded).toBeGreaterThanOrEqual(verdict.events.accepted);
      expect(found.goodbyes).toEqual(['code 0', 'code 0']);
      expect(found.leftBehind).toEqual([]);
      expect(found.ownEnds).toEqual({ agent: [], cloud: [] });
      expect(found.peakMiB.cloud).toBeLessThan(MOST_MIB);
    },
  );
});
