import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MODEL } from './packaged-kiosk.ts';
import { pipeline } from './tools.ts';

/**
 * Takes the agent out of its package: what a release has of it.
 * @param folder with `agent.deb` in it
 */
export async function takeAgentOut(folder: string): Promise<void> {
  const [whole, payload] = [join(folder, 'whole'), join(folder, 'agent-payload')];
  await pipeline('dpkg-deb --extract "$1" "$2"', [join(folder, 'agent.deb'), whole]);
  await mkdir(payload);
  await rename(join(whole, 'usr/lib/paddock'), join(payload, 'paddock-agent'));
  // Node stays the package's.
  await rm(join(payload, 'paddock-agent/bin'), { recursive: true });
  await rm(whole, { recursive: true });
}

/**
 * Writes the recipe of a release that has an agent of its own, and a program that does nothing for ever.
 * @param probe how its probe ends: with 0 it is well
 * @returns the recipe's directory
 */
export async function writeRecipe(folder: string, counter: number, probe: 0 | 1): Promise<string> {
  const recipe = join(folder, `release-${counter}`);
  const bin = join(recipe, 'payload/bin');
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, 'application'), '#!/bin/sh\nexec sleep infinity\n', { mode: 0o755 });
  await writeFile(join(bin, 'probe'), `#!/bin/sh\nexit ${probe}\n`, { mode: 0o755 });
  await writeFile(
    join(recipe, 'bundle.yaml'),
    `
name: kiosk
version: '${counter}.0'
counter: ${counter}
models: [${MODEL}]
payload: [../agent-payload, payload]
run: { command: [bin/application] }
health:
  withinSeconds: ${probe === 0 ? 120 : 20}
  settleSeconds: 5
  sensors: true
  probe: { command: [bin/probe], timeoutSeconds: 20 }
`,
  );
  return recipe;
}
