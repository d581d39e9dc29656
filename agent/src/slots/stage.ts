import { createHash } from 'node:crypto';
import { SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import { isFile, isLink, parseIndex, type IndexedFile, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { parentsOf } from '@paddock/shared/bundle-path.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { InstallError, type SlotContent, type TreeCalls } from '../ports-firmware.ts';
import { replaceFile } from './record-file.ts';
import { contentOf, indexOf, manifestOf } from './whole.ts';

/** Where the object store has an object that is whole. */
export const objectPath = (sha256: string): string => `objects/${sha256}`;

/** As much of a file as is in memory at once. */
const BUFFER_BYTES = 262_144;

export interface StageJob {
  readonly content: SlotContent;
  /** The slot to write. It must not be the one that runs. */
  readonly to: Slot;
  /** The slot that runs: what of it is the same is copied from there. */
  readonly from: Slot | null;
}

/**
 * Makes a slot hold a release, whatever it held before, and keeps what of it fits already: a kiosk's disk wears by what
 * is written. Can be cut anywhere and called again. The mark that says "whole" is gone before anything is touched, and
 * comes back when everything was synced, read again, and is what its hash says.
 * @param progress hears of bytes of files that are done
 * @throws InstallError
 */
export function stage(calls: TreeCalls, job: StageJob, progress: (bytes: number) => void = () => {}): void {
  try {
    const entries = parseIndex(job.content.index);
    unmark(calls, job.to);
    prepareTree(calls, job.to, entries);
    const written = writeFiles(calls, job, entries, progress);
    makeLinks(calls, job.to, entries);
    writeIndex(calls, job);
    calls.syncAll();
    verify(calls, job.to, written);
    replaceFile(calls, manifestOf(job.to), job.content.manifest);
  } catch (cause) {
    throw installErrorOf(cause);
  }
}

/** After this the slot is nobody's: what is in it may be anything. */
function unmark(calls: TreeCalls, slot: Slot): void {
  if (calls.look(slot) === null) calls.makeDirectory(slot);
  const own = `${slot}/${SLOT_OWN_DIRECTORY}`;
  if (calls.look(own) === null) calls.makeDirectory(own);
  if (calls.look(manifestOf(slot)) === null) return;
  calls.remove(manifestOf(slot));
  calls.syncDirectory(own);
}

/** Made durable with the files: the manifest, which alone makes the slot whole, comes behind. */
function writeIndex(calls: TreeCalls, { content, to }: StageJob): void {
  using file = closing(calls.create(indexOf(to), 0o644));
  file.write(content.index);
}

/** Removes what does not belong there, and makes the directories. */
function prepareTree(calls: TreeCalls, slot: Slot, entries: readonly IndexEntry[]): void {
  const directories = new Set(entries.flatMap(({ path }) => parentsOf(path)));
  const files = new Set<string>();
  for (const entry of entries) {
    if (isFile(entry)) files.add(entry.path);
    else if (!isLink(entry)) directories.add(entry.path);
  }
  const tidy = (directory: string): void => {
    for (const name of calls.list(`${slot}/${directory}`)) {
      const path = directory === '' ? name : `${directory}/${name}`;
      if (path === SLOT_OWN_DIRECTORY) continue;
      const kind = calls.look(`${slot}/${path}`)?.kind;
      if (kind === 'directory' && directories.has(path)) tidy(path);
      // Links are made anew: to compare them costs as much.
      else if (kind !== 'file' || !files.has(path)) removeWhole(calls, `${slot}/${path}`);
    }
  };
  tidy('');
  for (const directory of [...directories].toSorted())
    if (calls.look(`${slot}/${directory}`) === null) calls.makeDirectory(`${slot}/${directory}`);
}

function removeWhole(calls: TreeCalls, path: string): void {
  const entry = calls.look(path);
  if (entry === null) return;
  if (entry.kind !== 'directory') return calls.remove(path);
  for (const name of calls.list(path)) removeWhole(calls, `${path}/${name}`);
  calls.removeDirectory(path);
}

function makeLinks(calls: TreeCalls, slot: Slot, entries: readonly IndexEntry[]): void {
  for (const { path, link } of entries.filter(isLink)) calls.makeLink(link, `${slot}/${path}`);
}

/** @returns the files that were written: what was kept was read and hashed already */
function writeFiles(
  calls: TreeCalls,
  { to, from }: StageJob,
  entries: readonly IndexEntry[],
  progress: (bytes: number) => void,
): IndexedFile[] {
  const buffer = Buffer.alloc(BUFFER_BYTES);
  const running = runningFiles(calls, from);
  const written: IndexedFile[] = [];
  for (const file of entries.filter(isFile)) {
    if (!keeps(calls, `${to}/${file.path}`, file, buffer)) {
      const sources = [objectPath(file.sha256), ...(running.get(file.sha256) ?? [])];
      if (!sources.some((source) => copies(calls, source, `${to}/${file.path}`, file, buffer)))
        throw new InstallError('install_object_missing', file.sha256);
      written.push(file);
    }
    progress(file.size);
  }
  return written;
}

/** Paths in the slot that runs, by what they should hold. */
function runningFiles(calls: TreeCalls, from: Slot | null): Map<string, string[]> {
  const paths = new Map<string, string[]>();
  const content = from === null ? null : contentOf(calls, from);
  if (content === null) return paths;
  for (const { path, sha256 } of parseIndex(content.index).filter(isFile)) {
    const known = paths.get(sha256);
    if (known) known.push(`${from}/${path}`);
    else paths.set(sha256, [`${from}/${path}`]);
  }
  return paths;
}

const modeOf = ({ mode }: IndexedFile): number => (mode === '755' ? 0o755 : 0o644);

/** Whether the slot has this file already; then only its mode is put right. */
function keeps(calls: TreeCalls, path: string, file: IndexedFile, buffer: Uint8Array): boolean {
  const entry = calls.look(path);
  if (entry?.kind !== 'file' || entry.size !== file.size) return false;
  calls.forget(path);
  if (hashFile(calls, path, file.size, buffer) !== file.sha256) return false;
  if (entry.mode !== modeOf(file)) calls.setMode(path, modeOf(file));
  return true;
}

/** Copies what is there, if it is what it should be. @returns false when it is not, or not there */
function copies(calls: TreeCalls, source: string, path: string, file: IndexedFile, buffer: Uint8Array): boolean {
  const entry = calls.look(source);
  if (entry?.kind !== 'file' || entry.size !== file.size) return false;
  const hash = createHash('sha256');
  using from = closing(calls.open(source));
  using to = closing(calls.create(path, modeOf(file)));
  for (let count = from.read(buffer); count > 0; count = from.read(buffer)) {
    hash.update(buffer.subarray(0, count));
    to.write(buffer.subarray(0, count));
  }
  return hash.digest('hex') === file.sha256;
}

/** From the disk, not from what the system remembers of having written. */
function verify(calls: TreeCalls, slot: Slot, files: readonly IndexedFile[]): void {
  const buffer = Buffer.alloc(BUFFER_BYTES);
  for (const file of files) {
    const path = `${slot}/${file.path}`;
    calls.forget(path);
    if (hashFile(calls, path, file.size, buffer) !== file.sha256)
      throw new InstallError('install_verification_failed', file.path);
  }
}

/** @param most a file that goes on beyond it is none of ours */
function hashFile(calls: TreeCalls, path: string, most: number, buffer: Uint8Array): string | null {
  const hash = createHash('sha256');
  using file = closing(calls.open(path));
  let bytes = 0;
  for (let count = file.read(buffer); count > 0; count = file.read(buffer)) {
    bytes += count;
    if (bytes > most) return null;
    hash.update(buffer.subarray(0, count));
  }
  return hash.digest('hex');
}

const closing = <T extends { close(): void }>(file: T): T & Disposable => ({
  ...file,
  [Symbol.dispose]: () => file.close(),
});

const NO_SPACE = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** What the system said, in our words. */
export function installErrorOf(cause: unknown): unknown {
  if (cause instanceof InstallError || !(cause instanceof Error && 'syscall' in cause && 'code' in cause)) return cause;
  const code = NO_SPACE.includes(String(cause.code)) ? 'install_no_space' : 'install_disk_failed';
  return new InstallError(code, cause.message, { cause });
}
