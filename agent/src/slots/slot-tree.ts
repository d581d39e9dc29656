import { isFile, isLink, type IndexedFile, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { parentOf, SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { TreeCalls } from '../ports-firmware.ts';
import { removeWhole } from './clear.ts';

/** Files that may be what they shall be, and the modes that they have. */
export type FoundFiles = ReadonlyMap<IndexedFile, number>;

/**
 * Removes what does not belong into a slot, and makes its directories.
 * @returns what stands there already and has the right length
 */
export function prepareTree(calls: TreeCalls, slot: Slot, entries: readonly IndexEntry[]): FoundFiles {
  const missing = directoriesOf(entries);
  const files = new Map(entries.filter(isFile).map((file) => [file.path, file]));
  const found = new Map<IndexedFile, number>();
  const tidy = (directory: string): void => {
    for (const name of calls.list(`${slot}/${directory}`)) {
      const path = directory === '' ? name : `${directory}/${name}`;
      if (path === SLOT_OWN_DIRECTORY) continue;
      const entry = calls.look(`${slot}/${path}`);
      const file = entry?.kind === 'file' ? files.get(path) : undefined;
      if (entry?.kind === 'directory' && missing.delete(path)) tidy(path);
      // One that has other names is not the slot's alone: somebody else may write into it.
      else if (file && entry?.size === file.size && entry.links === 1) found.set(file, entry.mode);
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
