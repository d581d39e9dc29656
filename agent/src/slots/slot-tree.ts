import { isFile, isLink, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { parentOf, SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { TreeCalls, TreeEntry } from '../ports-firmware.ts';

/**
 * Removes what does not belong into a slot, and makes its directories.
 * @returns what stands there already where a file shall be, by its path
 */
export function prepareTree(calls: TreeCalls, slot: Slot, entries: readonly IndexEntry[]): Map<string, TreeEntry> {
  const missing = directoriesOf(entries);
  const files = new Set(entries.filter(isFile).map(({ path }) => path));
  const found = new Map<string, TreeEntry>();
  const tidy = (directory: string): void => {
    for (const name of calls.list(`${slot}/${directory}`)) {
      const path = directory === '' ? name : `${directory}/${name}`;
      if (path === SLOT_OWN_DIRECTORY) continue;
      const entry = calls.look(`${slot}/${path}`);
      if (entry?.kind === 'directory' && missing.delete(path)) tidy(path);
      else if (entry?.kind === 'file' && files.has(path)) found.set(path, entry);
      // Links are made anew: to compare them costs as much.
      else removeWhole(calls, `${slot}/${path}`);
    }
  };
  tidy('');
  for (const directory of [...missing].toSorted()) calls.makeDirectory(`${slot}/${directory}`);
  return found;
}

/** All directories of a slot, empty ones and those that something is in. */
function directoriesOf(entries: readonly IndexEntry[]): Set<string> {
  const directories = new Set<string>();
  for (const entry of entries) {
    const innermost = isFile(entry) || isLink(entry) ? parentOf(entry.path) : entry.path;
    // Where one is known, those around it are.
    for (let at = innermost; at !== null && !directories.has(at); at = parentOf(at)) directories.add(at);
  }
  return directories;
}

function removeWhole(calls: TreeCalls, path: string): void {
  const entry = calls.look(path);
  if (entry === null) return;
  if (entry.kind !== 'directory') return calls.remove(path);
  for (const name of calls.list(path)) removeWhole(calls, `${path}/${name}`);
  calls.removeDirectory(path);
}
