import { createRaucLauncher } from '@paddock/agent/rauc/installer.ts';
import type { RaucSlots } from '@paddock/agent/rauc/slots.ts';
import { describe, expect, it } from 'vitest';
import { DEAF, BootOver, FakeRaucMachine } from '../../../harness/agent/fake-rauc.ts';
import { releaseOf, type TestRelease } from '../../../harness/agent/slots.ts';

const ONE = releaseOf(1, { 'one.raucb': 'one' });
const TWO = releaseOf(2, { 'two.raucb': 'two' });
const LIMITS = { starts: 3, withinMs: 3_600_000 };
const MOST_BOOTS = 12;
const signal = new AbortController().signal;

/** What an agent does with its installer, and what it remembers of a release: found good, or put away. */
class Agent {
  readonly #machine: FakeRaucMachine;
  readonly #bad: ReadonlySet<TestRelease>;
  readonly #putAway = new Set<TestRelease>();

  constructor(machine: FakeRaucMachine, bad: readonly TestRelease[] = []) {
    this.#machine = machine;
    this.#bad = new Set(bad);
  }

  /** Boots as often as it takes. */
  async reach(goal: TestRelease): Promise<void> {
    for (let boot = 0; boot < MOST_BOOTS; boot += 1) {
      const slots = this.#machine.boot();
      expect(this.#machine.slots[this.#machine.booted].content).not.toBe('half');
      if (await this.#oneBoot(slots, goal)) return;
    }
    throw new Error(`It never came to rest: ${JSON.stringify(await this.#machine.agent().status())}`);
  }

  async #oneBoot(slots: RaucSlots, goal: TestRelease): Promise<boolean> {
    try {
      for (;;) if (await this.#step(slots, goal)) return true;
    } catch (cause) {
      if (cause instanceof BootOver) return false;
      throw cause;
    }
  }

  /** @returns whether it is at rest */
  async #step(slots: RaucSlots, goal: TestRelease): Promise<boolean> {
    const { trial, running } = await slots.status();
    const launcher = createRaucLauncher(slots, this.#machine.rauc, DEAF);
    if (trial !== null) {
      if (trial.starts === 0) await launcher.restart();
      const isOurs = trial.release.sha256 === goal.release.sha256;
      if (trial.givenUp || !isOurs || this.#bad.has(goal)) {
        this.#putAway.add(goal);
        await slots.rollBack();
      } else await slots.markGood(trial.release.sha256);
      return false;
    }
    if ((await launcher.status())?.sha256 !== (running?.release.sha256 ?? null)) await launcher.restart();
    if (running?.committed === true && running.release.sha256 === goal.release.sha256) return true;
    if (this.#putAway.has(goal)) return true;
    await slots.install(goal, goal.release.version, () => {}, signal);
    await slots.activate(goal.release.sha256, LIMITS);
    await launcher.restart();
    return false;
  }
}

/** One story without a cut, and one for a cut before each of its changes. @param story says what it cost */
async function everyCut(story: (cutAt: number | null) => Promise<number>): Promise<void> {
  const changes = await story(null);
  expect(changes).toBeGreaterThan(7);
  for (let cutAt = 0; cutAt < changes; cutAt += 1) await story(cutAt);
}

/** @returns how many changes that took */
async function reach(machine: FakeRaucMachine, agent: Agent, goal: TestRelease, cutAt: number | null): Promise<number> {
  const before = machine.changes;
  machine.cutAt = cutAt === null ? null : before + cutAt;
  await agent.reach(goal);
  machine.cutAt = null;
  return machine.changes - before;
}

describe.each([false, true])('RAUC that has started what it wrote itself: %s', (activatesInstalled) => {
  let machine: FakeRaucMachine;
  const begin = (...bad: TestRelease[]): Agent => {
    machine = new FakeRaucMachine();
    machine.activatesInstalled = activatesInstalled;
    return new Agent(machine, bad);
  };

  it('comes to a good release whenever the power is cut', async () => {
    await everyCut(async (cutAt) => {
      const agent = begin();
      await agent.reach(ONE);
      const changes = await reach(machine, agent, TWO, cutAt);
      const running = { release: TWO.release, committed: true };
      expect(await machine.agent().status()).toMatchObject({ running, trial: null, lost: null, other: ONE.release });
      expect(machine.slots[machine.booted]).toMatchObject({ content: TWO.release.version, isBad: false });
      return changes;
    });
  });

  it('runs what ran before when a release is bad, whenever the power is cut', async () => {
    await everyCut(async (cutAt) => {
      const agent = begin(TWO);
      await agent.reach(ONE);
      const changes = await reach(machine, agent, TWO, cutAt);
      const running = { release: ONE.release, committed: true };
      expect(await machine.agent().status()).toMatchObject({ running, trial: null, lost: null, other: null });
      expect(machine.slots[machine.booted].content).toBe(ONE.release.version);
      return changes;
    });
  });

  it('runs the image of the factory when the first release is bad, whenever the power is cut', async () => {
    await everyCut(async (cutAt) => {
      const agent = begin(ONE);
      const changes = await reach(machine, agent, ONE, cutAt);
      expect(await machine.agent().status()).toMatchObject({ running: null, trial: null, lost: null });
      expect(machine.slots[machine.booted].content).toBe('factory');
      return changes;
    });
  });
});
