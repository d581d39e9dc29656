import type { TreeCalls } from '../ports-firmware.ts';
import { directoryOf } from './record-file.ts';

/** Removes what stands there, with everything in it; a link alone, and not what it leads to. */
export function removeWhole(calls: TreeCalls, path: string): void {
  const entry = calls.look(path);
  if (entry === null) return;
  if (entry.kind !== 'directory') return calls.remove(path);
  for (const name of calls.list(path)) removeWhole(calls, `${path}/${name}`);
  calls.removeDirectory(path);
}

/** Makes it a directory, whatever else stands in its place. */
export function clearDirectory(calls: TreeCalls, path: string): void {
  const entry = calls.look(path);
  if (entry?.kind === 'directory') return;
  if (entry !== null) {
    calls.remove(path);
    // A link may have led to a mark that says "whole".
    calls.syncDirectory(directoryOf(path));
  }
  calls.makeDirectory(path);
}
