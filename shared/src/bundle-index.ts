import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Compile, type Validator } from 'typebox/schema';
import { BundleError } from './bundle-error.ts';
import { checkLink, checkPath, foldCase, parentOf } from './bundle-path.ts';
import { MAX_BUNDLE_FILES, MAX_FILE_BYTES, MAX_INDEX_BYTES, Sha256 } from './manifest.ts';

const closed = { additionalProperties: false };

/** A file of the payload. No other mode exists in a slot: who owns files, and who may write them, is the machine's. */
const IndexedFile = Type.Object(
  {
    path: Type.String(),
    mode: Type.Enum(['644', '755']),
    size: Type.Integer({ minimum: 0, maximum: MAX_FILE_BYTES }),
    sha256: Sha256,
  },
  closed,
);
export type IndexedFile = Readonly<Static<typeof IndexedFile>>;
const IndexedLink = Type.Object({ path: Type.String(), link: Type.String() }, closed);
export type IndexedLink = Readonly<Static<typeof IndexedLink>>;
/** Only one that holds nothing: the others follow from what is in them. */
const IndexedDirectory = Type.Object({ path: Type.String(), directory: Type.Literal(true) }, closed);
export type IndexedDirectory = Readonly<Static<typeof IndexedDirectory>>;
const Entry = Type.Union([IndexedFile, IndexedLink, IndexedDirectory]);
export type IndexEntry = IndexedFile | IndexedLink | IndexedDirectory;

export const isFile = (entry: IndexEntry): entry is IndexedFile => 'sha256' in entry;
export const isLink = (entry: IndexEntry): entry is IndexedLink => 'link' in entry;

/**
 * The one text of a payload: a line of JSON an entry, members in this order, in the order of their paths (UTF-16 code
 * units). As text, so that a change of one file is a change of one line, and the old index is a dictionary for the new.
 */
export const formatIndex = (entries: readonly IndexEntry[]): Uint8Array =>
  new TextEncoder().encode(
    [...entries]
      .toSorted((a, b) => (a.path < b.path ? -1 : 1))
      .map((entry) => `${formatEntry(entry)}\n`)
      .join(''),
  );

function formatEntry(entry: IndexEntry): string {
  if (isLink(entry)) return JSON.stringify({ path: entry.path, link: entry.link });
  if (!isFile(entry)) return JSON.stringify({ path: entry.path, directory: true });
  const { path, mode, size, sha256 } = entry;
  return JSON.stringify({ path, mode, size, sha256 });
}

/**
 * Reads an index whose hash was verified, and refuses what no slot may hold, whoever signed it.
 * @throws BundleError with the code of what is wrong
 */
export function parseIndex(bytes: Uint8Array): readonly IndexEntry[] {
  if (bytes.length > MAX_INDEX_BYTES) throw new BundleError('index_too_large', `${bytes.length} bytes`);
  if (bytes.length > 0 && bytes.at(-1) !== LINE_END) throw new BundleError('index_invalid', 'the last line has no end');
  const lines = countLines(bytes);
  if (lines > MAX_BUNDLE_FILES) throw new BundleError('index_too_large', `${lines} entries`);
  const entries: IndexEntry[] = [];
  for (const line of linesOf(bytes)) entries.push(parseLine(line, entries.length));
  checkTree(entries);
  return entries;
}

const LINE_END = 0x0a;

function countLines(bytes: Uint8Array): number {
  let lines = 0;
  for (let at = bytes.indexOf(LINE_END); at >= 0; at = bytes.indexOf(LINE_END, at + 1)) lines += 1;
  return lines;
}

/** One after the other: as one text they would be once more in memory, on devices that have little. */
function* linesOf(bytes: Uint8Array): Generator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const decode = (line: Uint8Array): string => {
    try {
      return decoder.decode(line);
    } catch (cause) {
      throw new BundleError('index_invalid', 'not UTF-8', { cause });
    }
  };
  for (let at = 0; at < bytes.length;) {
    const end = bytes.indexOf(LINE_END, at);
    yield decode(bytes.subarray(at, end));
    at = end + 1;
  }
}

let entryValidator: Validator<typeof Entry> | null = null;

function parseLine(line: string, at: number): IndexEntry {
  const refused = (cause?: unknown): BundleError => new BundleError('index_invalid', `line ${at + 1}`, { cause });
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw refused(cause);
  }
  // One text a payload: what is unknown, or written otherwise, is no index.
  if (!(entryValidator ??= Compile(Entry)).Check(value) || formatEntry(value) !== line) throw refused();
  return value;
}

/**
 * What must hold of all entries together: each path once, also where cases are not told apart, and under directories
 * only.
 * @throws BundleError `path_invalid`, `link_outside`, `path_duplicate`, `path_case`, `path_under_file` or `index_invalid`
 */
export function checkTree(entries: readonly IndexEntry[]): void {
  const paths = new Set<string>();
  const spellings = new Map<string, string>();
  /** Every directory that something lies in, and the first that does. */
  const parents = new Map<string, string>();
  const spell = (name: string): void => {
    const folded = foldCase(name);
    const spelling = spellings.get(folded);
    if (spelling === undefined) spellings.set(folded, name);
    else if (spelling !== name) throw new BundleError('path_case', `${spelling} and ${name}`);
  };
  let before: string | null = null;
  for (const entry of entries) {
    const { path } = entry;
    checkPath(path);
    if (isLink(entry)) checkLink(path, entry.link);
    if (paths.has(path)) throw new BundleError('path_duplicate', path);
    if (before !== null && before >= path) throw new BundleError('index_invalid', `${path} is out of order`);
    before = path;
    paths.add(path);
    // The innermost first: where one is known, those around it are.
    for (let at = parentOf(path); at !== null && !parents.has(at); at = parentOf(at)) {
      spell(at);
      parents.set(at, path);
    }
    spell(path);
  }
  // A directory that holds something is not listed; whatever else is listed there is none.
  for (const [parent, path] of parents)
    if (paths.has(parent)) throw new BundleError('path_under_file', `${path} under ${parent}`);
}
