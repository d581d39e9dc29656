import { SLOT_OWN_DIRECTORY } from '@paddock/shared/bundle-path.ts';
import { isFile, isLink, parseIndex, type IndexedFile, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { InstallError, type SlotContent, type TreeCalls } from '../ports-firmware.ts';
import { hashedFresh, readingFor, type Reading, type StageWatch } from './hash-files.ts';
import { clearDirectory, removeWhole } from './clear.ts';
import { replaceFile } from './record-file.ts';
import { prepareTree } from './slot-tree.ts';
import { indexOf, manifestOf } from './whole.ts';
import { writeFiles } from './write-files.ts';

export interface StageJob {
  readonly content: SlotContent;
  /** The slot to write. It must not be the one that runs. */
  readonly to: Slot;
  /** The slot that runs: what of it is the same is copied from there. */
  readonly from: Slot | null;
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
    const found = prepareTree(calls, job.to, entries);
    const reading = readingFor(watch);
    const written = writeFiles(calls, { to: job.to, from: job.from, files: entries.filter(isFile), found }, reading);
    makeLinks(calls, job.to, entries);
    writeIndex(calls, job);
    calls.syncAll();
    verify(calls, job.to, written, reading);
    replaceFile(calls, manifestOf(job.to), job.content.manifest);
  } catch (cause) {
    throw installErrorOf(cause);
  }
}

/** After this the slot is nobody's: what is in it may be anything. */
function unmark(calls: TreeCalls, slot: Slot): void {
  const own = `${slot}/${SLOT_OWN_DIRECTORY}`;
  clearDirectory(calls, slot);
  clearDirectory(calls, own);
  if (calls.look(manifestOf(slot)) !== null) {
    removeWhole(calls, manifestOf(slot));
    calls.syncDirectory(own);
  }
  for (const name of calls.list(own)) removeWhole(calls, `${own}/${name}`);
}

/** Made durable with the files: the manifest, which alone makes the slot whole, comes behind. */
function writeIndex(calls: TreeCalls, { content, to }: StageJob): void {
  const file = calls.create(indexOf(to), 0o644);
  try {
    file.write(content.index);
  } finally {
    file.close();
  }
}

function makeLinks(calls: TreeCalls, slot: Slot, entries: readonly IndexEntry[]): void {
  for (const { path, link } of entries.filter(isLink)) calls.makeLink(link, `${slot}/${path}`);
}

/** From the disk, not from what the system remembers of having written. */
function verify(calls: TreeCalls, slot: Slot, files: readonly IndexedFile[], reading: Reading): void {
  for (const [file, isRight] of hashedFresh(calls, slot, files, reading))
    if (!isRight) throw new InstallError('install_verification_failed', file.path);
}

const NO_SPACE = ['ENOSPC', 'EDQUOT', 'EFBIG'];

/** What the system said, in our words. */
export function installErrorOf(cause: unknown): unknown {
  if (cause instanceof InstallError || !(cause instanceof Error && 'syscall' in cause && 'code' in cause)) return cause;
  const code = NO_SPACE.includes(String(cause.code)) ? 'install_no_space' : 'install_disk_failed';
  return new InstallError(code, cause.message, { cause });
}
