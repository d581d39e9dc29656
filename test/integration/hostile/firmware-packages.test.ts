import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TestRelease } from '../../harness/agent/slots.ts';
import { harmless, HostileKiosk, plainRelease } from '../../harness/hostile/kiosk.ts';
import { packOf } from '../../harness/packs.ts';

let kiosk: HostileKiosk;
beforeAll(async () => {
  kiosk = await HostileKiosk.start();
});
afterAll(() => kiosk.remove());

/** The same files with other contents, each as long as it was. */
const tampered = ({ files }: TestRelease): TestRelease['files'] =>
  Object.fromEntries(Object.entries(files).map(([path, text]) => [path, text?.replaceAll('e', '3') ?? null]));

/** 20 MB in place of a file of 2 kB: what zstd makes of them is no longer than the file. */
const swollen = ({ files }: TestRelease): TestRelease['files'] => ({ ...files, 'app.txt': '\0'.repeat(20_000_000) });

const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, n) => (n === at ? byte ^ 1 : byte));

const indexOf = ({ manifest }: TestRelease): string =>
  (JSON.parse(Buffer.from(manifest).toString()) as { index: { sha256: string } }).index.sha256;

/** What lies in place of the packs that bring a release. */
function pack(release: TestRelease, bytes: Uint8Array): void {
  const { files, lies } = kiosk.cloud.repository;
  const own = packPathOf(indexOf(release), null);
  for (const path of files.keys()) if (path.startsWith(own.replace('all.pack', ''))) lies.set(path, null);
  lies.set(own, bytes);
}

const PACKS: readonly (readonly [string, (release: TestRelease) => Uint8Array, string])[] = [
  ['files with other contents', (release) => packOf({ ...release, files: tampered(release) }, null), 'hash_mismatch'],
  [
    'a file that is 20 MB once unpacked',
    (release) => packOf({ ...release, files: swollen(release) }, null),
    'hash_mismatch',
  ],
  ['another index', (release) => packOf(plainRelease(release.release.counter, {}, 'mine'), null), 'hash_mismatch'],
  ['an end that comes too early', (release) => packOf(release, null).slice(0, -1_000), 'bundle_truncated'],
  ['nothing at all', () => new Uint8Array(), 'bundle_malformed'],
  [
    'a bit that fell over',
    (release) => flipped(packOf(release, null), packOf(release, null).length - 1_000),
    'hash_mismatch',
  ],
];

describe('a package that is not what was signed', () => {
  it.each(PACKS)('is refused: a pack with %s', async (_, bytes, code) => {
    const release = kiosk.publish();
    pack(release, bytes(release));
    expect(await kiosk.attacked(release)).toEqual(harmless(code));
    await kiosk.recovers(release);
  });

  it('is refused: a manifest with one other byte, and the one of another release', async () => {
    const release = kiosk.publish();
    const { lies, files } = kiosk.cloud.repository;
    const path = [...files.keys()].find((one) => one.includes(`${release.release.sha256}.`)) ?? '';
    lies.set(path, flipped(Buffer.from(release.manifest), 20));
    expect(await kiosk.attacked(release)).toEqual(harmless('tuf_hash_mismatch'));
    lies.set(path, kiosk.genuine[0]?.manifest ?? new Uint8Array());
    const { code, ...rest } = await kiosk.attacked(release);
    expect(code).toMatch(/^(tuf_hash_mismatch|tuf_length|fetch_too_large)$/);
    expect(rest).toEqual({ isUntouched: true, faults: [] });
    await kiosk.recovers(release);
  });

  it('is refused: a whole release that lies there unsigned, even if the cloud desires it', async () => {
    const forged = kiosk.forged();
    const { repository } = kiosk.cloud;
    repository.putTarget(`kiosk-app/${forged.release.counter}.json`, forged.manifest);
    repository.files.set(packPathOf(indexOf(forged), null), packOf(forged, null));
    expect(await kiosk.attacked(forged)).toEqual(harmless('tuf_target_unknown'));
    // Its counter is still there for the genuine one.
    await kiosk.recovers(kiosk.publish());
  });
});

const other = (change: (release: TestRelease['release']) => Partial<DesiredFirmware>) => change;

describe('a release that is genuine, and not for this kiosk,', () => {
  it.each([
    ['for other hardware', { models: ['other-kiosk'] }, 'update_model_wrong'],
    ['for devices that come from a later one', { fromCounter: 1_000 }, 'update_from_wrong'],
    ['in a manifest of a later version', { v: 2 }, 'manifest_version_unsupported'],
    ['in a manifest with a key that nobody knows', { surprise: true }, 'manifest_invalid'],
    ['that runs a program out of its slot', { run: { command: ['../../bin/sh'] } }, 'manifest_command'],
    ['whose hook is not in it', { hooks: { after: { command: ['bin/none'], timeoutSeconds: 5 } } }, 'manifest_command'],
  ])('is not installed: one %s', async (_, manifest, code) => {
    expect(await kiosk.attacked(kiosk.publish(manifest))).toEqual(harmless(code));
    await kiosk.recovers(kiosk.publish());
  });

  it.each([
    ['name', other(() => ({ name: 'other-app' })), 'tuf_target_unknown'],
    ['counter', other(({ counter }) => ({ counter: counter + 1 })), 'tuf_target_unknown'],
    ['hash', other(() => ({ sha256: 'ab'.repeat(32) })), 'tuf_mismatch'],
    ['version', other(() => ({ version: '9.9.9' })), 'update_mismatch'],
  ])('is not installed when desired state says another %s', async (_, change, code) => {
    const release = kiosk.publish();
    expect(await kiosk.attacked(release, change(release.release))).toEqual(harmless(code));
    await kiosk.recovers(release);
  });

  it('is not installed when it is older, withdrawn, or another one with a counter that was installed', async () => {
    const { repository } = kiosk.cloud;
    const [oldest, newest] = [kiosk.genuine[0], kiosk.genuine.at(-1)];
    if (!oldest || !newest) return expect.fail('nothing was installed');
    expect(await kiosk.attacked(oldest)).toEqual(harmless('update_counter_old'));
    const again = plainRelease(newest.release.counter, {}, 'another one');
    repository.publishRelease(again);
    expect(await kiosk.attacked(again)).toEqual(harmless('update_counter_old'));
    const withdrawn = kiosk.publish();
    repository.withdraw(withdrawn);
    expect(await kiosk.attacked(withdrawn)).toEqual(harmless('tuf_target_unknown'));
    await kiosk.recovers(kiosk.publish());
  });
});
