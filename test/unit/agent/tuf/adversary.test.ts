import type { Versions } from '@paddock/agent/tuf/tuf.ts';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TufDevice } from '../../../harness/tuf/client.ts';
import { makeKey } from '../../../harness/tuf/keys.ts';
import { manifestBytes, sha256, targetOf, TufSimulator } from '../../../harness/tuf/simulator.ts';

const METADATA = ['root', 'timestamp', 'snapshot', 'targets'] as const;
const place = fc.nat({ max: 1_000 });

/** What somebody does who holds the server, or the wire, or the online keys. */
const move = fc.oneof(
  { weight: 3, arbitrary: fc.constant({ kind: 'publish' } as const) },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('replay' as const), role: fc.constantFrom(...METADATA), age: place }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('mutate' as const), at: place, byte: place, to: fc.nat({ max: 255 }) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('swap' as const), at: place, other: place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('withhold' as const), at: place }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'forge' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'new-root' } as const) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' } as const) },
  { weight: 2, arbitrary: fc.constant({ kind: 'honest' } as const) },
);
type Move = typeof move extends fc.Arbitrary<infer T> ? T : never;

class Adversary {
  readonly repository = new TufSimulator();
  readonly device = new TufDevice(this.repository);
  /** Digests of releases that the keys of targets signed, and of those that others did. */
  readonly genuine = new Map<number, string>();
  readonly forged = new Map<number, string>();
  readonly #history: (readonly [string, Uint8Array])[] = [...this.repository.files];
  #counter = 0;

  play(move: Move): void {
    const { repository } = this;
    const paths = [...repository.files.keys()];
    const at = (n: number): string => paths[n % paths.length] ?? '';
    if (move.kind === 'publish') this.#publish();
    if (move.kind === 'replay') this.#replay(move.role, move.age);
    if (move.kind === 'mutate') repository.lies.set(at(move.at), mutated(repository.file(at(move.at)), move));
    if (move.kind === 'swap') repository.lies.set(at(move.at), repository.file(at(move.other)));
    if (move.kind === 'withhold') repository.lies.set(at(move.at), null);
    if (move.kind === 'forge') this.#forge();
    if (move.kind === 'new-root') repository.publishRoot();
    if (move.kind === 'restart') this.device.restart();
    if (move.kind === 'honest') repository.lies.clear();
    this.#history.push(...repository.files);
  }

  #publish(): void {
    this.#counter += 1;
    const { sha256: digest } = this.repository.addRelease('charger', this.#counter);
    this.genuine.set(this.#counter, digest);
    this.repository.publish();
  }

  #replay(role: (typeof METADATA)[number], age: number): void {
    const older = this.#history.filter(([path]) => path.includes(role));
    const [path, bytes] = older[age % older.length] ?? ['', new Uint8Array()];
    const newest = [...this.repository.files.keys()].findLast((one) => one.includes(role));
    this.repository.lies.set(role === 'timestamp' ? path : (newest ?? path), bytes);
  }

  /** With the online keys, and one key of targets that was stolen. */
  #forge(): void {
    this.#counter += 1;
    const counter = this.#counter;
    const bytes = manifestBytes({ counter });
    const { repository } = this;
    const { timestamp, snapshot, targets } = repository.roles;
    repository.targets[`charger/${counter}.json`] = targetOf(bytes);
    repository.putTarget(`charger/${counter}.json`, bytes);
    this.forged.set(counter, sha256(bytes));
    repository.publishTargets([...timestamp.keys, ...snapshot.keys, ...targets.keys.slice(0, 1), makeKey()]);
    repository.publishSnapshot();
    repository.publishTimestamp();
    // The honest operator does not know of it and signs nothing of the kind.
    delete repository.targets[`charger/${counter}.json`];
  }
}

const mutated = (bytes: Uint8Array, { byte, to }: { byte: number; to: number }): Uint8Array =>
  bytes.map((one, n) => (n === Math.floor((byte / 1_001) * bytes.length) ? to : one));

function isNoLower(before: Versions | null, after: Versions | null): boolean {
  return METADATA.every((role) => (after?.[role] ?? 0) >= (before?.[role] ?? 0));
}

it('no sequence of replies lowers a version, or yields what the keys of targets did not sign', async () => {
  let [taken, refused] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(move, { minLength: 4, maxLength: 14 }), async (moves) => {
      const adversary = new Adversary();
      const { device } = adversary;
      let before: Versions | null = null;
      for (const one of moves) {
        adversary.play(one);
        const refusal = await device.refusal();
        refused += refusal === null ? 0 : 1;
        expect(refusal ?? 'tuf_').toMatch(/^(tuf|fetch)_/);
        const after: Versions | null = await device.versions();
        expect(isNoLower(before, after)).toBe(true);
        before = after;
        for (const [counter, digest] of adversary.forged)
          await expect(device.manifestOf(digest, counter)).rejects.toThrow();
        const [[counter, digest] = [0, '']] = [...adversary.genuine].slice(-1);
        const found = await device.manifestOf(digest, counter).catch(() => null);
        if (found) taken += 1;
        if (found) expect(sha256(found.bytes)).toBe(digest);
      }
    }),
    { numRuns: 40 },
  );
  // It was about something: there was what was taken, and what was refused.
  expect(taken).toBeGreaterThan(20);
  expect(refused).toBeGreaterThan(20);
}, 180_000);
