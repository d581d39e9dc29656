import { spawn, type ChildProcess } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { BOOT_FILE, readBoot } from '@paddock/agent/slots/boot-record.ts';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { contentOf, manifestOf } from '@paddock/agent/slots/whole.ts';
import { SLOTS, type Slot } from '@paddock/shared/firmware.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkingRelease, firstFileOf } from '../../harness/agent/checking-releases.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { LauncherProcess } from '../../harness/agent/launcher-process.ts';
import { faultsOf } from '../../harness/agent/slots.ts';

const UPDATING = join(import.meta.dirname, '../../harness/agent/updating-process.ts');
/** How often something is killed. */
const KILLS = Number(process.env['PADDOCK_LAUNCHER_KILLS'] ?? 6);

/** Both slots hold something: what is written next has a mark to lose. */
const AT_FIRST = [1, 2];

let launcher: LauncherProcess;
let updating: ChildProcess | null = null;
beforeEach(() => {
  launcher = new LauncherProcess();
});
afterEach(async () => {
  await killUpdating();
  await launcher.remove();
});

let complaints = '';
function startUpdating(): void {
  updating = spawn(process.execPath, [UPDATING, launcher.root], { stdio: ['ignore', 'ignore', 'pipe'] });
  updating.stderr?.on('data', (chunk: Buffer) => void (complaints += chunk.toString()));
}

async function killUpdating(): Promise<void> {
  const child = updating;
  updating = null;
  if (child === null || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const upTo = (most: number): number => 1 + Math.floor(Math.random() * most);

/** What is known of a file without reading it: another one in its place, and another content, show. */
function stampOf(path: string): string {
  const found = statSync(join(launcher.root, path), { throwIfNoEntry: false });
  return found ? `${found.ino} ${found.mtimeMs} ${found.size}` : '';
}

/** Waits until something has changed so often. What is gone is no change: only what is made. */
async function changed(what: string, look: () => readonly string[], times = 1): Promise<void> {
  let before = new Set(look());
  let left = times;
  const comes = (): boolean => {
    const now = look();
    if (now.some((stamp) => !before.has(stamp))) left -= 1;
    before = new Set([...now, '']);
    return left <= 0;
  };
  await until(comes, `${what}: ${complaints}${launcher.log}`);
}

/** Few of them, to look often: each is another one in every release, and they are written one after the other. */
const FILES = [7, 1, 2, 10, 4, 5, 13].map((at) => `lib/${at % 7}/file-${at}`);
const files = (): string[] => SLOTS.flatMap((slot) => FILES.map((path) => stampOf(`${slot}/${path}`)));
const marks = (): string[] => SLOTS.map((slot) => stampOf(manifestOf(slot)));
const boot = (of: 'trial' | 'committed') => () => [JSON.stringify(readBoot(launcher.calls)?.[of] ?? '')];

/** The moments that matter, in the order in which they come, and who is killed. */
const MOMENTS = [
  { victims: 'agent', comes: () => changed('the first file of a slot', files) },
  { victims: 'agent', comes: () => changed('some files of a slot', files, upTo(FILES.length - 1)) },
  { victims: 'both', comes: () => changed('the mark of a slot', marks) },
  { victims: 'both', comes: () => changed('the switch', boot('trial')) },
  { victims: 'launcher', comes: () => changed('the start of a trial', () => [String(launcher.ran.length)]) },
  { victims: 'agent', comes: () => changed('the commit', boot('committed')) },
  { victims: 'both', comes: () => pause(Math.random() * 700) },
] as const;

/** What was found that must not be. */
const broken: string[] = [];

/** Of slots that say that they are whole and are not, while nobody writes into them. */
function liesOf(slot: Slot): string[] {
  const release = contentOf(launcher.calls, slot)?.release;
  return release ? faultsOf(launcher.calls, slot, release.sha256, [checkingRelease(release.counter)]) : [];
}

/** What is committed was healthy: it has run, and has said so. */
function rashCommit(): string[] {
  const committed = readBoot(launcher.calls)?.committed;
  const release = committed ? contentOf(launcher.calls, committed.slot)?.release : undefined;
  if (!release || release.sha256 !== committed?.sha256) return ['what is committed is not there'];
  if (AT_FIRST.includes(release.counter)) return [];
  const first = statSync(join(launcher.root, firstFileOf(release.counter)), { throwIfNoEntry: false });
  const written = statSync(join(launcher.root, BOOT_FILE)).mtimeMs;
  return first && first.mtimeMs < written ? [] : [`${release.counter} was committed before it ran`];
}

async function killAt({ victims, comes }: (typeof MOMENTS)[number]): Promise<void> {
  await comes();
  broken.push(...rashCommit());
  if (victims !== 'agent') await launcher.kill();
  if (victims !== 'launcher') await killUpdating();
  if (victims !== 'launcher') broken.push(...SLOTS.flatMap(liesOf));
  if (victims !== 'agent') launcher.start();
  if (victims !== 'launcher') startUpdating();
}

it('launcher and agent, killed at every moment that matters, start whole slots only and get on', async () => {
  for (const counter of AT_FIRST) launcher.commit(checkingRelease(counter));
  launcher.start();
  await until(() => launcher.ran.length > 0, 'the first start');
  startUpdating();
  for (let kill = 0; kill < KILLS; kill += 1) {
    const moment = MOMENTS[kill % MOMENTS.length];
    if (moment) await killAt(moment);
  }
  // It goes on from wherever it was.
  await changed('a commit after all that', boot('committed'));
  broken.push(...rashCommit());
  await killUpdating();
  expect(launcher.ran.filter((line) => !line.startsWith('whole '))).toEqual([]);
  expect([...broken, ...SLOTS.flatMap(liesOf)]).toEqual([]);
  expect(new SlotDirectory(launcher.calls).status().running?.release.counter).toBeGreaterThan(Math.max(...AT_FIRST));
  // One program, with the watch beside it, and nothing of all that was killed.
  const processes = await launcher.processes();
  expect(processes.filter(({ command }) => command.startsWith('sleep'))).toHaveLength(1);
  expect(processes.length).toBeLessThanOrEqual(2);
});
