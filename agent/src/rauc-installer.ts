import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createRauc, type RaucCommands } from './adapters/rauc.ts';
import { createTreeCalls } from './adapters/tree-calls.ts';
import { installerThread } from './installer.ts';
import type { EndWord } from './past/runs.ts';
import type { Installer, Launcher } from './ports-firmware.ts';
import { createRaucInstaller, createRaucLauncher, type RestartEars } from './rauc/installer.ts';
import { RaucSlots, type SlotParts } from './rauc/slots.ts';
import { objectStore } from './slots/installer.ts';
import { objectPath } from './slots/object-path.ts';

type ExpectsEnd = (word: EndWord | null) => void;

/** RAUC's slots, and downloads for it in a directory, which is made where it is missing. */
export function openRauc(
  directory: string,
  commands: RaucCommands,
  { expectsEnd, ...parts }: Omit<SlotParts, 'rauc'> & { readonly expectsEnd: ExpectsEnd },
): { readonly installer: Installer; readonly launcher: Launcher; readonly close: () => Promise<void> } {
  mkdirSync(directory, { recursive: true });
  const calls = createTreeCalls(directory);
  const { ask, close } = installerThread(directory);
  const rauc = createRauc(commands);
  const slots = new RaucSlots({ ...parts, rauc });
  const installer = createRaucInstaller(slots, {
    objects: objectStore(ask),
    hashOf: (sha256) => ask('hashOf', [sha256]),
    pathOf: (sha256) => join(directory, objectPath(sha256)),
    freeBytes: async () => calls.freeBytes(),
  });
  return { installer, launcher: createRaucLauncher(slots, rauc, endings(expectsEnd)), close };
}

/** A machine that starts again tells this agent no more than to stop. */
const endings = (expectsEnd: ExpectsEnd): RestartEars => ({
  restarts: (next) => expectsEnd({ how: 'update', ...(next && { detail: `${next.name} ${next.version}` }) }),
  stays: () => expectsEnd(null),
});
