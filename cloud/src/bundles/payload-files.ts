import { createHash } from 'node:crypto';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import { checkPath, parentOf } from '@paddock/shared/bundle-path.ts';
import { MAX_BUNDLE_FILES, MAX_FILE_BYTES } from '@paddock/shared/manifest.ts';
import type { Payload } from '../ports-firmware.ts';
import { RecipeError } from './recipe-error.ts';

/** Every entry of a payload, hashed, and where its contents are. */
export interface PayloadFiles {
  /** In no order. */
  readonly entries: readonly IndexEntry[];
  /** @param path of a file among the entries */
  readonly read: (path: string) => AsyncIterable<Uint8Array>;
}

/** Setuid, setgid and sticky. */
const REFUSED_BITS = 0o7000;
const OWNER_RUNS = 0o100;

interface Found {
  readonly entries: IndexEntry[];
  readonly sources: Map<string, Payload>;
}

/**
 * Reads directories that lie above each other: together they are the payload, and no path is in two of them.
 * @throws BundleError for what no slot may hold, RecipeError `payload_missing`
 */
export async function readPayload(layers: readonly Payload[]): Promise<PayloadFiles> {
  const found: Found = { entries: [], sources: new Map() };
  for (const [at, layer] of layers.entries()) await readLayer(layer, at, found);
  return {
    entries: withoutFullDirectories(found.entries),
    read: (path) => {
      const source = found.sources.get(path);
      if (source === undefined) throw new BundleError('path_invalid', path);
      return source.read(path);
    },
  };
}

async function readLayer(layer: Payload, at: number, found: Found): Promise<void> {
  const names = await layer.list('');
  if (names === null)
    throw new RecipeError([{ code: 'payload_missing', path: ['payload', at], message: 'is no directory' }]);
  for (const name of names) await readEntry(layer, nameOf(name), found);
}

async function readEntry(layer: Payload, path: string, found: Found): Promise<void> {
  checkPath(path);
  const look = await layer.look(path);
  if (look.kind === 'other') throw new BundleError('kind_refused', path);
  if (look.kind === 'directory') return readDirectory(layer, path, found);
  if (look.kind === 'link') found.entries.push({ path, link: nameOf(await layer.readLink(path)) });
  else found.entries.push(await readFile(layer, path, look.mode, look.size));
  if (found.entries.length > MAX_BUNDLE_FILES) throw new BundleError('index_too_large', 'too many files');
  if (!found.sources.has(path)) found.sources.set(path, layer);
}

async function readDirectory(layer: Payload, path: string, found: Found): Promise<void> {
  const names = (await layer.list(path)) ?? [];
  if (names.length === 0) found.entries.push({ path, directory: true });
  for (const name of names) await readEntry(layer, `${path}/${nameOf(name)}`, found);
}

/** Whoever owns it may run it, or nobody: what the umask left of the rest says nothing. */
async function readFile(layer: Payload, path: string, mode: number, size: number): Promise<IndexEntry> {
  if ((mode & REFUSED_BITS) !== 0) throw new BundleError('mode_refused', `${path} has ${mode.toString(8)}`);
  if (size > MAX_FILE_BYTES) throw new BundleError('index_too_large', `${path} has ${size} bytes`);
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of layer.read(path)) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { path, mode: (mode & OWNER_RUNS) === 0 ? '644' : '755', size: bytes, sha256: hash.digest('hex') };
}

function nameOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    const shown = JSON.stringify(Buffer.from(bytes).toString('latin1'));
    throw new BundleError('path_invalid', `${shown} is not UTF-8`, { cause });
  }
}

/** A directory that is empty in one layer may hold something in another, or be empty in both. */
function withoutFullDirectories(entries: readonly IndexEntry[]): IndexEntry[] {
  const full = new Set<string>();
  for (const { path } of entries)
    for (let at = parentOf(path); at !== null && !full.has(at); at = parentOf(at)) full.add(at);
  const seen = new Set<string>();
  return entries.filter((entry) => {
    if (!('directory' in entry)) return true;
    if (full.has(entry.path) || seen.has(entry.path)) return false;
    seen.add(entry.path);
    return true;
  });
}
