import { isFinal } from '@paddock/agent/update/dispositions.ts';
import { NO_JOURNAL } from '@paddock/agent/update/journal.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { modelRelease, UpdateWorld, type Cut, type ModelRelease } from '../../../harness/agent/update-world.ts';

const RELEASES: readonly ModelRelease[] = [
  modelRelease(1),
  modelRelease(2),
  modelRelease(3, { isHealthy: false }),
  modelRelease(4, { fits: false }),
  modelRelease(5, { reaches: false }),
  modelRelease(6),
];
const at = (n: number): ModelRelease => RELEASES[n] ?? modelRelease(1);

/** Everything that can happen around the machine. */
type Happening = (world: UpdateWorld) => void;
const cuts = fc.constantFrom<Cut>(null, null, null, 'before', 'behind');
const FAILURES = [
  'fetch_failed',
  'tuf_time_unknown',
  'tuf_expired',
  'hash_mismatch',
  'install_object_missing',
  'install_no_space',
  'update_hook_failed',
  'update_disk_failed',
];
const TROUBLES: readonly Happening[] = [
  (world) => void (world.isLocked = !world.isLocked),
  (world) => void (world.isWindowOpen = !world.isWindowOpen),
  (world) => void (world.isCloudUp = !world.isCloudUp),
  (world) => void (world.isLauncherUp = !world.isLauncherUp),
  (world) => world.launch(),
  (world) => world.reboot(),
  (world) => world.giveUp(),
  (world) => world.restart(),
  (world) =>
    void (world.journal = { ...NO_JOURNAL, floors: world.journal.floors, quarantined: world.journal.quarantined }),
];
const happenings: fc.Arbitrary<Happening> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.array(cuts, { maxLength: 8 }).map(
      (all): Happening =>
        (world) =>
          all.forEach((cut) => void world.step(cut)),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.option(fc.integer({ min: 0, max: 5 }), { freq: 8 }).map(
      (n): Happening =>
        (world) =>
          void (world.desired = n === null ? null : at(n)),
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(1, 4, 4, 20).map(
      (hours): Happening =>
        (world) =>
          world.wait(hours),
    ),
  },
  ...TROUBLES.map((happening) => ({ weight: 1, arbitrary: fc.constant(happening) })),
  {
    weight: 1,
    arbitrary: fc.integer({ min: 0, max: 5 }).map((n): Happening => (world) => {
      const { sha256 } = at(n).release;
      if (!world.published.delete(sha256)) world.published.add(sha256);
    }),
  },
  {
    weight: 2,
    arbitrary: fc.constantFrom(...FAILURES).map(
      (code): Happening =>
        (world) =>
          void (world.failure = code),
    ),
  },
);

/** Nothing is in the way any more. */
function calm(world: UpdateWorld): void {
  Object.assign(world, { isLocked: false, isWindowOpen: true, isCloudUp: true, failure: null });
  if (!world.isLauncherUp) world.launch();
  for (let turn = 0; turn < 24; turn += 1) {
    for (let steps = 0; world.step(); steps += 1) expect(steps).toBeLessThan(100);
    world.wait();
  }
}

const refusalOf = ({ journal, desired, published }: UpdateWorld): string | null => {
  if (desired === null || journal.error === null) return null;
  const { sha256 } = desired.release;
  const isBad = journal.quarantined.some((one) => one.sha256 === sha256);
  if (isBad) return journal.state === 'rolled-back' ? 'rolled back' : journal.error.code;
  if (!published.has(sha256)) return journal.error.code;
  return isFinal(journal.error.code) ? journal.error.code : null;
};

describe('the way to a release', () => {
  it('ends at the goal or at a refusal, whatever happens on it, and never installs what nobody agreed on', () => {
    fc.assert(
      fc.property(fc.array(happenings, { minLength: 5, maxLength: 60 }), (story) => {
        const world = new UpdateWorld(RELEASES);
        for (const happening of story) happening(world);
        calm(world);
        const { running, trial } = world.slots.status();
        expect(trial).toBeNull();
        const bad = at(2).release.sha256;
        expect(running?.release.sha256).not.toBe(bad);
        const isThere = world.desired === null || running?.release.sha256 === world.desired.release.sha256;
        expect({ isThere, refusal: refusalOf(world) }).toEqual(
          isThere ? { isThere, refusal: null } : { isThere, refusal: expect.any(String) },
        );
        if (running !== null) expect(world.facts().launcher?.sha256).toBe(running.release.sha256);
      }),
      { numRuns: 300 },
    );
  });

  it('gets to a good release in spite of a cut at every step', () => {
    for (let cut = 0; cut < 40; cut += 1)
      for (const where of ['before', 'behind'] as const) {
        const world = new UpdateWorld(RELEASES);
        world.desired = at(1);
        for (let step = 0; step < 60; step += 1) if (!world.step(step === cut ? where : null)) world.wait();
        expect(world.running).toBe(at(1).release.sha256);
      }
  });
});
