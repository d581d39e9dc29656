/** A program that does with slots what an agent does, for ever: one release, and then the other. It may be killed at any moment. */
import { join } from 'node:path';
import { connectLauncher } from '@paddock/agent/adapters/launcher-client.ts';
import { openInstaller } from '@paddock/agent/installer.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { Installer } from '@paddock/agent/ports-firmware.ts';
import type { TestRelease } from './slots.ts';
import { checkingReleases } from './checking-releases.ts';

const [directory = ''] = process.argv.slice(2);
const installer = openInstaller(directory);
const launcher = connectLauncher(join(directory, 'launcher.sock'), { statusMs: 1_000, restartMs: 3_000 });
const signal = new AbortController().signal;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (;;) {
  const goal = await nextGoal(installer);
  await step(goal).catch((cause: unknown) => process.stderr.write(`${String(cause)}\n`));
  await pause(5);
}

async function nextGoal({ status }: Pick<Installer, 'status'>): Promise<TestRelease> {
  const { running, trial } = await status();
  const [first, second] = checkingReleases();
  // One that is on trial is brought to its end; from what is committed it goes to the other.
  const wanted = running?.committed === false ? running.release : trial?.givenUp === false ? trial.release : null;
  if (wanted !== null) return wanted.sha256 === first.release.sha256 ? first : second;
  return running?.release.sha256 === first.release.sha256 ? second : first;
}

async function step(goal: TestRelease): Promise<void> {
  const { running, trial } = await installer.status();
  if (running?.release.sha256 === goal.release.sha256) return installer.markGood(goal.release.sha256);
  if (trial?.release.sha256 !== goal.release.sha256 || trial.givenUp) {
    const had = await installer.objects.list();
    for (const text of Object.values(goal.files)) {
      const content = Buffer.from(text ?? '');
      const sha256 = sha256Of(content);
      if (!had.has(sha256)) await installer.objects.put(sha256, content);
    }
    await installer.stage(goal, signal);
    await installer.objects.keepOnly(new Set());
    await installer.activate(goal.release.sha256, { starts: 3, withinMs: 60_000 });
  }
  await launcher.restart();
}
