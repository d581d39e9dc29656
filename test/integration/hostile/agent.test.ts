import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { collect } from '../../chaos/evidence.ts';
import { judge } from '../../chaos/judge.ts';
import { eventually } from '../../chaos/waiting.ts';
import { World } from '../../chaos/world.ts';
import type { MqttRelay } from '../../harness/mqtt-relay.ts';
import type { Trouble } from '../../harness/mqtt-trouble.ts';

const KIOSKS = 2;
/** Long enough for answers that get lost to be missed; then until everything has happened. */
const STORM_MS = 10_000;

/** TCP loses no single packet; brokers and bridges that lose, repeat and mix them up exist nevertheless. */
const STORM: readonly Trouble[] = [
  { from: 'client', packets: ['connect', 'subscribe'], shares: { drop: 0.005, repeat: 0.01, delay: 0.2, cut: 0.05 } },
  { from: 'broker', packets: ['connack', 'suback'], shares: { delay: 0.2, cut: 0.05 } },
  {
    from: 'client',
    packets: ['publish'],
    shares: { drop: 0.1, repeat: 0.15, delay: 0.15, reorder: 0.1, cut: 0.03 },
    delayMs: [5, 1_500],
  },
  {
    from: 'broker',
    packets: ['publish'],
    shares: { drop: 0.1, repeat: 0.2, delay: 0.15, reorder: 0.15, cut: 0.01 },
    delayMs: [5, 1_500],
  },
  { from: 'client', packets: ['puback'], shares: { drop: 0.1, repeat: 0.1, delay: 0.1, reorder: 0.1 } },
  { from: 'broker', packets: ['puback'], shares: { drop: 0.1, repeat: 0.1, delay: 0.1, reorder: 0.1 } },
];
/** What must have happened at least once, or nothing was tried. */
const DEEDS = [
  'client publish drop',
  'client publish repeat',
  'client publish delay',
  'client publish reorder',
  'client publish cut',
  'broker publish drop',
  'broker publish repeat',
  'broker publish delay',
  'broker publish reorder',
  'broker puback drop',
  'client puback repeat',
] as const;

describe('agents and cloud on a network that drops, repeats, delays and reorders single packets', () => {
  let world: World | null = null;
  afterEach(async ({ task }) => {
    await world?.close(task.result?.state === 'fail');
    world = null;
  });

  it.each(['embedded', 'mosquitto'] as const)(
    'records once what was accepted or answered, and gives each its true time (%s broker)',
    { timeout: 240_000 },
    async (broker) => {
      world = await World.build(broker, 3);
      await world.begin(KIOSKS);
      const ways = [...world.kiosks, ...world.clouds].flatMap(({ toBroker }): MqttRelay[] =>
        toBroker ? [toBroker] : [],
      );
      for (const way of ways) way.trouble(STORM);
      const times = (deed: (typeof DEEDS)[number]): number =>
        ways.reduce((sum, way) => sum + (way.deeds()[deed] ?? 0), 0);
      await sleep(STORM_MS);
      await eventually('every deed', async () => DEEDS.every((deed) => times(deed) > 0));
      for (const way of ways) {
        way.trouble([]);
        // What was lost would be missed after a minute; a new connection is missed at once.
        way.cut();
      }
      await world.settle();
      const { kiosks, around } = await collect(world);
      const verdict = judge(kiosks);

      expect(verdict.findings).toEqual([]);
      expect(verdict.events.accepted).toBeGreaterThan(20);
      expect(verdict.events).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.reports).toMatchObject({ lost: 0, repeated: 0 });
      expect(verdict.intervals).toMatchObject({ false: 0 });
      expect(around.ownEnds).toEqual({ agent: [], cloud: [] });
    },
  );
});
