import { BundleError } from '@paddock/shared/bundle-error.ts';
import { formatIndex, isFile, parseIndex, type IndexedFile, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { MAX_MANIFEST_BYTES, parseManifest, type Manifest } from '@paddock/shared/manifest.ts';
import { checkPayload } from '@paddock/shared/rauc-payload.ts';
import { packObjects } from '@paddock/shared/pack.ts';
import { checkCommands } from './commands.ts';
import { HELD_BYTES, held, sha256Of, verified } from './content.ts';
import { INDEX_MEMBER, MANIFEST_MEMBER, objectMember, SBOM_MEMBER } from './members.ts';
import type { PayloadFiles } from './payload-files.ts';
import type { Recipe } from './recipe.ts';
import { makeSbom } from './sbom.ts';
import { END_BYTES, formatHead, paddingOf } from './tar.ts';
import { compress, compressStream } from './zstd.ts';

/** What an archive will hold, before the first file is compressed. */
export interface PreparedBundle {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  readonly indexBytes: Uint8Array;
  readonly entries: readonly IndexEntry[];
  readonly sbomBytes: Uint8Array;
  readonly payload: PayloadFiles;
}

/** @throws BundleError or RecipeError */
export async function prepareBundle(recipe: Recipe, payload: PayloadFiles): Promise<PreparedBundle> {
  const indexBytes = formatIndex(payload.entries);
  // What no device would take is not built.
  const entries = parseIndex(indexBytes);
  checkCommands(recipe, entries);
  const sbomBytes = await makeSbom(recipe, payload);
  const manifest = manifestOf(recipe, entries, { indexBytes, sbomBytes });
  checkPayload(manifest, entries);
  const manifestBytes = new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
  if (manifestBytes.length > MAX_MANIFEST_BYTES) throw new BundleError('manifest_invalid', 'it is too long');
  return { manifest: parseManifest(manifestBytes), manifestBytes, indexBytes, entries, sbomBytes, payload };
}

function manifestOf(
  { payload: _, ...recipe }: Recipe,
  entries: readonly IndexEntry[],
  { indexBytes, sbomBytes }: Pick<PreparedBundle, 'indexBytes' | 'sbomBytes'>,
): Manifest {
  const files = entries.filter(isFile);
  // The order of the members is part of the digest; `undefined` ones are not written.
  return {
    v: 1,
    name: recipe.name,
    version: recipe.version,
    counter: recipe.counter,
    models: recipe.models,
    ...(recipe.fromCounter !== undefined && { fromCounter: recipe.fromCounter }),
    ...(recipe.installer !== undefined && { installer: recipe.installer }),
    index: { sha256: sha256Of(indexBytes), bytes: indexBytes.length },
    sbom: { sha256: sha256Of(sbomBytes), bytes: sbomBytes.length },
    files: files.length,
    bytes: files.reduce((sum, { size }) => sum + size, 0),
    ...(recipe.run !== undefined && { run: recipe.run }),
    ...(recipe.hooks !== undefined && { hooks: recipe.hooks }),
    health: recipe.health,
  };
}

/**
 * The archive. What it holds follows from recipe and payload alone, and so does every byte of it, as long as it is
 * compressed by the same version of zstd.
 * @throws BundleError when a file has changed since it was hashed
 */
export async function* writeBundle(prepared: PreparedBundle): AsyncGenerator<Uint8Array> {
  const { manifestBytes, indexBytes, sbomBytes, entries, payload } = prepared;
  yield* member(MANIFEST_MEMBER, manifestBytes);
  yield* member(INDEX_MEMBER, indexBytes);
  yield* member(SBOM_MEMBER, sbomBytes);
  const paths = new Map(entries.filter(isFile).map((file) => [file.sha256, file]));
  for (const { sha256 } of packObjects(entries, null)) {
    const file = paths.get(sha256);
    if (file === undefined) continue;
    yield* file.size > HELD_BYTES ? longObject(file, payload) : shortObject(file, payload);
  }
  yield Buffer.alloc(END_BYTES);
}

function* member(name: string, content: Uint8Array): Generator<Uint8Array> {
  yield formatHead({ name, bytes: content.length });
  yield content;
  yield Buffer.alloc(paddingOf(content.length));
}

async function* shortObject(file: IndexedFile, payload: PayloadFiles): AsyncGenerator<Uint8Array> {
  const content = await held(read(file, payload));
  const short = await compress(content);
  const isShorter = short.length < content.length;
  const { name } = objectMember(file.sha256, isShorter ? 'zstd' : 'plain', 0);
  yield* member(name, isShorter ? short : content);
}

/** Compressed twice, because its head says how long it is: the processor is cheaper than the room for it. */
async function* longObject(file: IndexedFile, payload: PayloadFiles): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const piece of compressStream(read(file, payload), file.size)) bytes += piece.length;
  const isShorter = bytes < file.size;
  const head = objectMember(file.sha256, isShorter ? 'zstd' : 'plain', isShorter ? bytes : file.size);
  yield formatHead(head);
  yield* isShorter ? compressStream(read(file, payload), file.size) : read(file, payload);
  yield Buffer.alloc(paddingOf(head.bytes));
}

const read = (file: IndexedFile, payload: PayloadFiles): AsyncIterable<Uint8Array> =>
  verified(payload.read(file.path), file, `${file.path} has changed while it was read`);
