import { DESIRED_FILE } from '@paddock/agent/desired/file.ts';
import { compareVersions, type Version } from '@paddock/agent/desired/judge.ts';
import fc from 'fast-check';
import { beforeAll, expect, it } from 'vitest';
import { DesiredBench } from '../../../harness/agent/desired.ts';
import { MemoryDisk } from '../../../harness/agent/memory-disk.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

/** What may happen between a cloud and a device, in any order. */
const Happening = fc.oneof(
  { weight: 4, arbitrary: fc.constant({ kind: 'set' } as const) },
  // Any message that ever was, the newest included: late, repeated, kept back and sent later.
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('deliver' as const), which: fc.nat(1_000) }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'answer' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'list' } as const) },
  // The cloud comes back from a backup: versions go back, the epoch grows.
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('restore' as const), lost: fc.nat(5) }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'start' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'lose the file' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'another life' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'the disk fails' } as const) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('time' as const), known: fc.boolean() }) },
);

let key: TestKey;
beforeAll(async () => {
  key = await makeTestKey();
});

/** A cloud that sets, and a device that gets what a network lets through. */
class World {
  readonly disk = new MemoryDisk();
  readonly sent: string[] = [];
  readonly held: Version[] = [];
  current: Version = { epoch: 0, version: 0 };
  bench!: DesiredBench;
  #lives = 0;

  async begin(): Promise<void> {
    this.bench = await DesiredBench.start(key, this.disk);
  }

  async happens(what: typeof Happening extends fc.Arbitrary<infer T> ? T : never): Promise<void> {
    const { bench, disk, current } = this;
    if (what.kind === 'set') await this.publish({ ...current, version: current.version + 1 });
    if (what.kind === 'deliver' && this.sent.length > 0)
      await bench.deliver(this.sent[what.which % this.sent.length] ?? '');
    if (what.kind === 'answer') await bench.answer(current.version, current.epoch);
    if (what.kind === 'list') bench.epoch = current.epoch;
    if (what.kind === 'restore')
      await this.publish({ epoch: current.epoch + 1, version: Math.max(1, current.version - what.lost) });
    if (what.kind === 'lose the file') disk.files.delete(DESIRED_FILE);
    if (what.kind === 'another life') bench.incarnation = `life${String((this.#lives += 1)).padStart(7, '0')}`;
    if (what.kind === 'start' || what.kind === 'lose the file' || what.kind === 'another life') await bench.begin();
    if (what.kind === 'the disk fails') disk.failNext(1);
    if (what.kind === 'time') bench.hasTime = what.known;
    this.look();
  }

  async publish(version: Version): Promise<void> {
    this.current = version;
    this.sent.push(await this.bench.seal(version.version, { epoch: version.epoch, state: { x: version } }));
  }

  look(): void {
    const held = this.bench.held();
    if (held !== null) this.held.push(held);
  }

  /** Whatever happened: once the newest comes through, the device has it. */
  async settle(): Promise<void> {
    const { bench, current } = this;
    await this.publish({ ...current, version: current.version + 1 });
    this.disk.failNext(0);
    bench.hasTime = true;
    bench.epoch = this.current.epoch;
    await bench.answer(this.current.version, this.current.epoch);
    await bench.deliver(this.sent.at(-1) ?? '');
    this.look();
  }
}

it('never goes back, and has the newest in the end, whatever is lost, late, repeated or cut off', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(Happening, { maxLength: 60, size: 'max' }), async (happenings) => {
      const world = new World();
      await world.begin();
      for (const what of happenings) await world.happens(what);
      await world.settle();
      const { bench, held, current } = world;
      expect(bench.held()).toEqual(current);
      expect(bench.applied.at(-1)).toEqual(current);
      const backwards = held.filter((one, n) => n > 0 && compareVersions(one, held[n - 1] ?? one) < 0);
      expect(backwards).toEqual([]);
      await bench.keeper.stop();
    }),
    { numRuns: 200 },
  );
});
