/** A program that does with slots what an agent does, for ever: from each release to the next. It may be killed at any moment. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectLauncher } from '@paddock/agent/adapters/launcher-client.ts';
import { openInstaller } from '@paddock/agent/installer.ts';
import { sha256Of } from '@paddock/agent/slots/whole.ts';
import type { InstallerStatus } from '@paddock/agent/ports-firmware.ts';
import { checkingRelease, RAN_FILE, saidBy } from './checking-releases.ts';
import type { TestRelease } from './slots.ts';

const [directory = ''] = process.argv.slice(2);
const installer = openInstaller(directory);
const launcher = connectLauncher(join(directory, 'launcher.sock'), { statusMs: 1_000, restartMs: 3_000 });
const signal = new AbortController().signal;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (;;) {
  await step(await installer.status()).catch((cause: unknown) => process.stderr.write(`${String(cause)}\n`));
  await pause(5);
}

async function step({ running, trial }: InstallerStatus): Promise<void> {
  if (running?.committed === false) return judge(running.release);
  if (trial === null || trial.givenUp) await install(checkingRelease((running?.release.counter ?? 0) + 1));
  await launcher.restart();
}

/** Its health: that it has said that it is whole. Until then it is looked at again, and the launcher counts its starts. */
async function judge({ sha256, counter }: TestRelease['release']): Promise<void> {
  const ran = join(directory, RAN_FILE);
  const said = existsSync(ran) ? readFileSync(ran, 'utf8').split('\n') : [];
  if (said.includes(saidBy(counter))) await installer.markGood(sha256);
}

async function install(goal: TestRelease): Promise<void> {
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
