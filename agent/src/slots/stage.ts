import { createHash } from 'node:crypto';
import { SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import { isFile, isLink, parseIndex, type IndexedFile, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { parentsOf } from '@paddock/shared/bundle-path.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { InstallError, type OpenTreeFile, type SlotContent, type TreeCalls } from '../ports-firmware.ts';
import { objectPath } from './object-path.ts';
import { replaceFile } from './record-file.ts';
import { contentOf, indexOf, manifestOf } from './whole.ts';

/** As much of a file as is in memory at once. */
const BUFFER_BYTES = 262_144;

/** So many files are on their way from the disk while one is hashed. */
const FILES_AHEAD = 32;

export interface StageJob {
  readonly content: SlotContent;
  /** The slot to write. It must not be the one that runs. */
  readonly to: Slot;
  /** The slot that runs: what of it is the same is copied from there. */
  readonly from: Slot | null;
}

/** Whoever waits for a stage. */
export interface StageWatch {
  /** Hears of bytes of files that are done. */
  progress(bytes: number): void;
  /** Asked all the time; throws what ends the work. */
  goOn(): void;
}
const NOBODY: StageWatch = { progress: () => {}, goOn: () => {} };

/**
 * Makes a slot hold a release, whatever it held before, and keeps what of it fits already: a kiosk's disk wears by what
 * is written. Can be cut anywhere and called again. The mark that says "whole" is gone before anything is touched, and
 * comes back when everything was synced, read again, and is what its hash says.
 * @throws InstallError
 */
export function stage(calls: TreeCalls, job: StageJob, watch: StageWatch = NOBODY): void {
  try {
    const entries = parseIndex(job.content.index);
    unmark(calls, job.to);
    prepareTree(calls, job.to, entries);
    const written = writeFiles(calls, job, entries, watch);
    makeLinks(calls, job.to, entries);
    writeIndex(calls, job);
    calls.syncAll();
    verify(calls, job.to, written, watch);
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
  watch: StageWatch,
): IndexedFile[] {
  const buffer = Buffer.alloc(BUFFER_BYTES);
  const running = runningFiles(calls, from);
  const files = entries.filter(isFile);
  const kept = keptFiles(calls, to, files, { buffer, watch });
  const written = files.filter((file) => !kept.has(file));
  for (const file of written) {
    const sources = [objectPath(file.sha256), ...(running.get(file.sha256) ?? [])];
    if (!sources.some((source) => copies(calls, source, `${to}/${file.path}`, file, { buffer, watch })))
      throw new InstallError('install_object_missing', file.sha256);
    watch.progress(file.size);
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

interface Work {
  readonly buffer: Uint8Array;
  readonly watch: StageWatch;
}

/** What the slot has already; of that only the mode is put right. */
function keptFiles(calls: TreeCalls, slot: Slot, files: readonly IndexedFile[], work: Work): Set<IndexedFile> {
  const modes = new Map<IndexedFile, number>();
  for (const file of files) {
    const entry = calls.look(`${slot}/${file.path}`);
    if (entry?.kind === 'file' && entry.size === file.size) modes.set(file, entry.mode);
  }
  const kept = new Set<IndexedFile>();
  for (const [file, isRight] of hashedFresh(calls, slot, [...modes.keys()], work)) {
    if (!isRight) continue;
    if (modes.get(file) !== modeOf(file)) calls.setMode(`${slot}/${file.path}`, modeOf(file));
    kept.add(file);
    work.watch.progress(file.size);
  }
  return kept;
}

/** Copies what is there, if it is what it should be. @returns false when it is not, or not there */
function copies(calls: TreeCalls, source: string, path: string, file: IndexedFile, { buffer, watch }: Work): boolean {
  const entry = calls.look(source);
  if (entry?.kind !== 'file' || entry.size !== file.size) return false;
  const hash = createHash('sha256');
  using from = closing(calls.open(source));
  using to = closing(calls.create(path, modeOf(file)));
  for (const part of partsOf(from, file.size, buffer)) {
    watch.goOn();
    hash.update(part);
    to.write(part);
  }
  return hash.digest('hex') === file.sha256;
}

/** From the disk, not from what the system remembers of having written. */
function verify(calls: TreeCalls, slot: Slot, files: readonly IndexedFile[], watch: StageWatch): void {
  for (const [file, isRight] of hashedFresh(calls, slot, files, { buffer: Buffer.alloc(BUFFER_BYTES), watch }))
    if (!isRight) throw new InstallError('install_verification_failed', file.path);
}

/** Whether each file is what its hash says. Those to come are on their way from the disk meanwhile. */
function* hashedFresh(
  calls: TreeCalls,
  slot: Slot,
  files: readonly IndexedFile[],
  { buffer, watch }: Work,
): Generator<[IndexedFile, boolean]> {
  const opened: OpenTreeFile[] = [];
  try {
    for (const [at, file] of files.entries()) {
      for (const next of files.slice(at + opened.length, at + FILES_AHEAD))
        opened.push(calls.openFresh(`${slot}/${next.path}`));
      const hash = createHash('sha256');
      const [from] = opened;
      for (const part of from ? partsOf(from, file.size, buffer) : []) {
        watch.goOn();
        hash.update(part);
      }
      opened.shift()?.close();
      yield [file, hash.digest('hex') === file.sha256];
    }
  } finally {
    for (const file of opened) file.close();
  }
}

/** A file of that size in parts; one byte too many ends it, and whoever hashes it notices. */
function* partsOf(file: OpenTreeFile, size: number, buffer: Uint8Array): Generator<Uint8Array> {
  for (let bytes = 0; bytes <= size;) {
    const count = file.read(buffer);
    if (count === 0) return;
    bytes += count;
    yield buffer.subarray(0, count);
    // Most files end here: there is nothing behind their size, or it is none of ours.
    if (bytes === size && count < buffer.length) return;
  }
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
