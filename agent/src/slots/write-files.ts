import { isFile, parseIndex, type IndexedFile } from '@paddock/shared/bundle-index.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import { InstallError, type OpenTreeFile, type TreeCalls } from '../ports-firmware.ts';
import { hashedFresh, readHashed, type Reading } from './hash-files.ts';
import { OBJECTS_DIRECTORY, objectPath } from './object-path.ts';
import type { FoundFiles } from './slot-tree.ts';
import { contentOf } from './whole.ts';

export interface FilesJob {
  /** The slot to write. It must not be the one that runs. */
  readonly to: Slot;
  /** The slot that runs: what of it is the same is copied from there. */
  readonly from: Slot | null;
  readonly files: readonly IndexedFile[];
  /** What stands already where they shall be. */
  readonly found: FoundFiles;
}

/**
 * @returns the files that were written: what was kept was read and hashed already
 * @throws InstallError `install_object_missing`
 */
export function writeFiles(calls: TreeCalls, job: FilesJob, reading: Reading): IndexedFile[] {
  const kept = keptFiles(calls, job, reading);
  const written = job.files.filter((file) => !kept.has(file));
  const sources = new Sources(calls, job.from);
  for (const file of written) {
    if (!isBrought(calls, `${job.to}/${file.path}`, file, sources, reading))
      throw new InstallError('install_object_missing', file.sha256);
    reading.watch.progress(file.size);
  }
  return written;
}

/** What the slot has already; of that only the mode is put right. */
function keptFiles(calls: TreeCalls, { to, files, found }: FilesJob, reading: Reading): Set<IndexedFile> {
  const kept = new Set<IndexedFile>();
  const candidates = files.filter((file) => found.has(file));
  for (const [file, isRight] of hashedFresh(calls, to, candidates, reading)) {
    if (!isRight) continue;
    if (found.get(file) !== modeOf(file)) calls.setMode(`${to}/${file.path}`, modeOf(file));
    kept.add(file);
    reading.watch.progress(file.size);
  }
  return kept;
}

const modeOf = ({ mode }: IndexedFile): number => (mode === '755' ? 0o755 : 0o644);

/**
 * Where a content may lie: among the objects, or else in the slot that runs, at the same path most likely. Only what is
 * not found there makes it worth to hold another index.
 */
class Sources {
  readonly #calls: TreeCalls;
  readonly #from: Slot | null;
  readonly #objects: ReadonlySet<string>;
  #running: Map<string, string[]> | null = null;

  constructor(calls: TreeCalls, from: Slot | null) {
    this.#calls = calls;
    this.#from = from;
    this.#objects = new Set(calls.look(OBJECTS_DIRECTORY) === null ? [] : calls.list(OBJECTS_DIRECTORY));
  }

  *of({ path, sha256 }: IndexedFile): Generator<string> {
    if (this.#objects.has(sha256)) yield objectPath(sha256);
    if (this.#from !== null) yield `${this.#from}/${path}`;
    yield* (this.#running ??= runningFiles(this.#calls, this.#from)).get(sha256) ?? [];
  }
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

function isBrought(calls: TreeCalls, path: string, file: IndexedFile, sources: Sources, reading: Reading): boolean {
  for (const source of sources.of(file)) if (copies(calls, source, path, file, reading)) return true;
  return false;
}

/** Copies what is there, if it is what it should be. @returns false when it is not, or not there */
function copies(calls: TreeCalls, source: string, path: string, file: IndexedFile, reading: Reading): boolean {
  const from = openIfThere(calls, source);
  if (from === null) return false;
  try {
    const to = calls.create(path, modeOf(file));
    try {
      return readHashed(from, file.size, reading, (piece) => to.write(piece)) === file.sha256;
    } finally {
      to.close();
    }
  } finally {
    from.close();
  }
}

/** What the system says of a path where no file stands that could be read. */
const NO_FILE = ['ENOENT', 'ENOTDIR', 'ELOOP'];

function openIfThere(calls: TreeCalls, path: string): OpenTreeFile | null {
  try {
    return calls.open(path);
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && NO_FILE.includes(String(cause.code))) return null;
    throw cause;
  }
}
