import { dirname } from 'node:path';
import { randomOf } from '../random.ts';
import { makeTestKey, type TestKey } from '../signing.ts';
import { CutKiosk } from './cut-kiosk.ts';
import { releaseOf, type TestRelease } from './slots.ts';
import { TreeFiles } from './tree-files.ts';
import { remade, STATE, UpdateRepository } from './update-device.ts';

/** What no compression makes small, so that it comes in more than one chunk, and as a stream. */
const random = randomOf(20_261_128);
const NOISE = Array.from({ length: 400_000 }, () => String.fromCharCode(48 + Math.floor(random() * 64))).join('');
const health = (probe: string): object => ({
  health: { withinSeconds: 1, settleSeconds: 1, sensors: true, probe: { command: ['true', probe], timeoutSeconds: 1 } },
});

const ONE = remade(releaseOf(1, { 'bin/kiosk': 'one', 'web/app.js': 'a'.repeat(3_000) }), health('good'));
const TWO = remade(
  releaseOf(2, { 'bin/kiosk': 'two', 'web/app.js': `${'a'.repeat(3_000)}b`, noise: NOISE, current: '-> bin/kiosk' }),
  health('good'),
);
export const BAD = remade(releaseOf(3, { 'bin/kiosk': 'bad', 'web/app.js': 'b' }), health('bad'));
export const RELEASES: readonly TestRelease[] = [ONE, TWO, BAD];

/** A stretch of a kiosk's life, and where it ends whatever happens on the way. */
export interface Story {
  readonly name: string;
  /** What it has been through before. */
  readonly before: readonly TestRelease[];
  /** What it is to run now. */
  readonly wants: TestRelease;
  /** What it runs in the end. */
  readonly ends: TestRelease;
  /** Root and online keys are new by then. */
  readonly isRotated: boolean;
}
export const STORIES: readonly Story[] = [
  { name: 'from nothing to the first release', before: [], wants: ONE, ends: ONE, isRotated: false },
  { name: 'to the next one, by a delta and in chunks', before: [ONE], wants: TWO, ends: TWO, isRotated: false },
  { name: 'to a bad one and back, past new keys', before: [ONE], wants: BAD, ends: ONE, isRotated: true },
];

export interface Stage {
  readonly repository: UpdateRepository;
  readonly key: TestKey;
  readonly wanted: readonly TestRelease[];
  /** What is on the disk when it begins. */
  readonly files: TreeFiles;
}

/** @returns everything as it is when the story begins */
export async function stageOf({ before, wants, isRotated }: Story): Promise<Stage> {
  const repository = new UpdateRepository();
  RELEASES.forEach((release, at) => repository.publishRelease(release, RELEASES.slice(0, at)));
  const key = await makeTestKey();
  const files = new TreeFiles();
  files.makeDirectory(dirname(STATE));
  files.syncAll();
  for (const [at, release] of before.entries()) {
    const kiosk = new CutKiosk(files, { repository, key });
    await kiosk.start();
    await kiosk.hear(before.slice(0, at + 1));
    await kiosk.settled(release, release);
    await kiosk.stop();
  }
  if (isRotated) {
    repository.rotate('root');
    repository.rotate('timestamp');
    repository.publish();
  }
  return { repository, key, wanted: [...before, wants], files: files.afterCut(() => 'all') };
}
