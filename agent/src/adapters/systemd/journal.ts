import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineCare } from '../../ports-systemd.ts';

const MAIN = 'etc/systemd/journald.conf';
/** Of two files of one name the first counts, and of all of them the last name (systemd-system.conf(5)). */
const DROP_INS = ['etc', 'run', 'usr/local/lib', 'usr/lib'].map((place) => `${place}/systemd/journald.conf.d`);
const LIMITS = { disk: 'SystemMaxUse', memory: 'RuntimeMaxUse' } as const;

/** Where journald writes now: what it has in memory goes away from there once it writes to the disk. */
export async function findJournal(root: string): Promise<MachineCare['journal']> {
  const id = (await readFile(join(root, 'etc/machine-id'), 'utf8').catch(() => '')).trim();
  const isIn = (place: string): Promise<boolean> =>
    access(join(root, place, id, 'system.journal')).then(
      () => true,
      () => false,
    );
  const place = (await isIn('run/log/journal')) ? 'memory' : (await isIn('var/log/journal')) ? 'disk' : 'nowhere';
  if (place === 'nowhere') return { place, limit: null };
  return { place, limit: valueIn(await settingsIn(root), LIMITS[place]) };
}

async function settingsIn(root: string): Promise<string> {
  const files = new Map<string, string>();
  for (const directory of DROP_INS)
    for (const name of await readdir(join(root, directory)).catch(() => []))
      if (name.endsWith('.conf') && !files.has(name)) files.set(name, join(root, directory, name));
  const named = [...files].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, file]) => file);
  const texts = await Promise.all([join(root, MAIN), ...named].map((file) => readFile(file, 'utf8').catch(() => '')));
  return texts.join('\n');
}

/** The last one counts, and an empty one takes those before it back. */
export const valueIn = (text: string, key: string): string | null =>
  [...text.matchAll(new RegExp(`^[ \\t]*${key}[ \\t]*=[ \\t]*(.*?)[ \\t]*$`, 'gm'))].at(-1)?.[1] || null;
