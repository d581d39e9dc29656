import { createHash } from 'node:crypto';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { objectPath } from '@paddock/agent/slots/object-path.ts';
import { stage } from '@paddock/agent/slots/stage.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { SlotContent, TreeCalls } from '@paddock/agent/ports-firmware.ts';
import { formatIndex, isFile, isLink, parseIndex, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Slot } from '@paddock/shared/firmware.ts';

export const LIMITS = { starts: 3, withinMs: 60_000 };

/** A release of these files; a text is a file, `-> x` a link, null an empty directory. */
export interface TestRelease extends SlotContent {
  readonly files: Readonly<Record<string, string | null>>;
}

export function releaseOf(counter: number, files: TestRelease['files'], other: object = {}): TestRelease {
  const entries = Object.entries(files).map(([path, text]): IndexEntry => {
    if (text === null) return { path, directory: true };
    if (text.startsWith('-> ')) return { path, link: text.slice(3) };
    const bytes = Buffer.from(text);
    return { path, mode: path.startsWith('bin/') ? '755' : '644', size: bytes.length, sha256: sha256Of(bytes) };
  });
  const index = formatIndex(entries);
  const bytes = entries.filter(isFile).reduce((sum, { size }) => sum + size, 0);
  const manifest = Buffer.from(
    JSON.stringify({
      v: 1,
      name: 'kiosk-app',
      version: `1.${counter}.0`,
      counter,
      models: ['demo-cp22'],
      index: { sha256: sha256Of(index), bytes: index.length },
      sbom: { sha256: '0'.repeat(64), bytes: 0 },
      files: entries.filter(isFile).length,
      bytes,
      run: { command: ['bin/kiosk'] },
      health: { withinSeconds: 60, settleSeconds: 1, sensors: true },
      ...other,
    }),
  );
  const release = { name: 'kiosk-app', version: `1.${counter}.0`, counter, sha256: sha256Of(manifest) };
  return { release, manifest, index, files };
}

/** Puts the objects of a release where the download leaves them. */
export function bringObjects(calls: TreeCalls, { files }: TestRelease): void {
  if (calls.look('objects') === null) calls.makeDirectory('objects');
  for (const text of Object.values(files)) {
    if (text === null || text.startsWith('-> ')) continue;
    const file = calls.create(objectPath(sha256Of(Buffer.from(text))), 0o644);
    file.write(Buffer.from(text));
    file.close();
  }
}

/** One step of the agent towards a release. @param good hears when it was marked @returns whether it is there */
export function stepTowards(calls: TreeCalls, goal: TestRelease, good: () => void = () => {}): boolean {
  const slots = new SlotDirectory(calls);
  const { running, trial } = slots.status();
  const isGoal = running?.release.sha256 === goal.release.sha256;
  if (isGoal && running.committed) return true;
  // It ran, and was found healthy.
  if (isGoal) {
    slots.markGood(goal.release.sha256);
    good();
  } else if (trial?.release.sha256 !== goal.release.sha256 || trial.givenUp) {
    const { to, from } = slots.vacate();
    stage(calls, { content: goal, to, from });
    slots.activate(goal.release.sha256, LIMITS);
  }
  return false;
}

/** Agent and launcher in turns, as often as it takes. @param good hears when it was marked */
export function runUntil(calls: TreeCalls, goal: TestRelease, good?: () => void): void {
  for (let turn = 0; turn < 8; turn += 1) {
    prepareRun(calls);
    if (stepTowards(calls, goal, good)) return;
  }
  throw new Error('It never got to the goal');
}

/** What is wrong with a slot that is said to hold one of these releases: judged by the bytes alone. */
export function faultsOf(calls: TreeCalls, slot: Slot, sha256: string, releases: readonly TestRelease[]): string[] {
  const release = releases.find((each) => each.release.sha256 === sha256);
  if (!release) return [`${sha256} is no release`];
  const faults: string[] = [];
  for (const entry of parseIndex(release.index)) {
    const path = `${slot}/${entry.path}`;
    const found = calls.look(path);
    if (isLink(entry)) {
      if (found?.kind !== 'link' || calls.readLink(path) !== entry.link) faults.push(`${path} is not the link`);
    } else if (!isFile(entry)) {
      if (found?.kind !== 'directory') faults.push(`${path} is no directory`);
    } else if (found?.kind !== 'file' || hashOf(calls, path) !== entry.sha256) faults.push(`${path} is not the file`);
    else if (found.mode !== Number.parseInt(entry.mode, 8)) faults.push(`${path} has mode ${found.mode.toString(8)}`);
  }
  return [...faults, ...strangersIn(calls, slot, release)];
}

function strangersIn(calls: TreeCalls, slot: Slot, { files }: TestRelease): string[] {
  const known = (path: string): boolean =>
    Object.keys(files).some((each) => each === path || each.startsWith(`${path}/`));
  const walk = (directory: string): string[] =>
    calls.list(`${slot}/${directory}`).flatMap((name) => {
      const path = directory === '' ? name : `${directory}/${name}`;
      if (path === '.paddock') return [];
      if (!known(path)) return [`${slot}/${path} is a stranger`];
      return calls.look(`${slot}/${path}`)?.kind === 'directory' ? walk(path) : [];
    });
  return walk('');
}

function hashOf(calls: TreeCalls, path: string): string {
  const file = calls.open(path);
  const buffer = new Uint8Array(4096);
  const hash = createHash('sha256');
  for (let count = file.read(buffer); count > 0; count = file.read(buffer)) hash.update(buffer.subarray(0, count));
  file.close();
  return hash.digest('hex');
}
