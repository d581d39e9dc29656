/**
 * What an update costs: `npm run bench:update [-- --json] [--only install|packs|memory]`. Bytes that a device fetches for a
 * payload of 70 MB in 11,000 files: everything, a change of one line, and two packages in newer versions. And how long
 * the installer takes to stage and verify it, against `cp -r` and `sha256sum` in the same run, and what memory it takes.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { measureInstall } from './update-install.ts';
import { measureMemory } from './update-memory.ts';
import { makePacks } from './update-packs.ts';

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean', default: false }, only: { type: 'string' } },
});

/** Both need the packs, which take a minute to make. */
async function measurePacks(home: string): Promise<Record<string, number>> {
  const packs = await makePacks(home);
  return { ...packs.figures, ...(flags.only !== 'packs' && (await measureMemory(packs))) };
}

const directory = await mkdtemp(join(tmpdir(), 'paddock-update-'));
try {
  const figures = {
    ...(flags.only !== 'install' && (await measurePacks(directory))),
    ...(flags.only !== 'packs' && flags.only !== 'memory' && (await measureInstall())),
  };
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Math.round(value * 100) / 100]),
  );
  if (flags.json) console.log(JSON.stringify(rounded));
  else console.table(rounded);
} finally {
  await rm(directory, { recursive: true });
}
