import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { SlotDirectory } from '@paddock/agent/slots/directory.ts';
import { contentOf } from '@paddock/agent/slots/whole.ts';
import { SLOTS, type Slot } from '@paddock/shared/firmware.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { checkingReleases } from '../../harness/agent/checking-releases.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { LauncherProcess } from '../../harness/agent/launcher-process.ts';
import { faultsOf } from '../../harness/agent/slots.ts';

const UPDATING = join(import.meta.dirname, '../../harness/agent/updating-process.ts');
/** How often something is killed. */
const KILLS = Number(process.env['PADDOCK_LAUNCHER_KILLS'] ?? 6);
const RELEASES = checkingReleases();

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

/** What was found of slots that say that they are whole and are not, while nobody wrote into them. */
const broken: string[] = [];
function lieOf(slot: Slot): string[] {
  const content = contentOf(launcher.calls, slot);
  return content === null ? [] : faultsOf(launcher.calls, slot, content.release.sha256, RELEASES);
}

/** At moments that are never the same twice. */
async function killSomething(): Promise<void> {
  const before = launcher.ran.length;
  await pause(Math.random() * 700);
  const victims = Math.floor(Math.random() * 3);
  if (victims !== 0) await launcher.kill();
  if (victims !== 1) await killUpdating();
  if (victims !== 1) broken.push(...SLOTS.flatMap(lieOf));
  if (victims !== 0) launcher.start();
  if (victims !== 1) startUpdating();
  // It goes on from wherever it was.
  await until(() => launcher.ran.length > before, `that something is started again: ${complaints}${launcher.log}`);
}

it('launcher and agent, killed at any moment, start whole slots only and get on', async () => {
  launcher.commit(RELEASES[0]);
  launcher.start();
  await until(() => launcher.ran.length > 0, 'the first start');
  startUpdating();
  for (let kill = 0; kill < KILLS; kill += 1) await killSomething();
  const settled = (counter: number): boolean => launcher.ran.at(-1) === `whole ${counter}`;
  await until(() => settled(1), 'the one release');
  await until(() => settled(2), 'the other release');
  await killUpdating();
  expect(launcher.ran.filter((line) => !line.startsWith('whole '))).toEqual([]);
  expect(broken).toEqual([]);
  const { running } = new SlotDirectory(launcher.calls).status();
  expect(running).not.toBeNull();
  expect(faultsOf(launcher.calls, running?.slot ?? 'a', running?.release.sha256 ?? '', RELEASES)).toEqual([]);
  // One program, with the watch beside it, and nothing of all that was killed.
  const processes = await launcher.processes();
  expect(processes.filter(({ command }) => command.startsWith('sleep'))).toHaveLength(1);
  expect(processes.length).toBeLessThanOrEqual(2);
});
