import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import { writeWhole } from './adapters/backup-files.ts';
import { payloadDirectory } from './adapters/payload-directory.ts';
import { unreadable } from './adapters/named-file.ts';
import { openSpool } from './adapters/spool-file.ts';
import { openStillFile } from './adapters/still-file.ts';
import { prepareBundle, writeBundle } from './bundles/build.ts';
import type { Bundle } from './bundles/bundle.ts';
import { sha256Of } from './bundles/content.ts';
import { diffEntries, type PathChange } from './bundles/diff.ts';
import { makePack } from './bundles/make-pack.ts';
import { bundleFileName } from './bundles/members.ts';
import { readPayload } from './bundles/payload-files.ts';
import { readBundle } from './bundles/read.ts';
import { RecipeError } from './bundles/recipe-error.ts';
import { parseRecipe, RECIPE_FILE } from './bundles/recipe.ts';

export interface BuiltBundle {
  readonly file: string;
  readonly name: string;
  readonly version: string;
  readonly counter: number;
  /** Of the manifest: the release's digest. */
  readonly sha256: string;
  readonly files: number;
  /** Of the payload. */
  readonly bytes: number;
  /** Of the archive. */
  readonly bundleBytes: number;
}

/**
 * Builds the bundle of a recipe's directory, and reads it again before it says that it is there.
 * @param out by default `{name}-{counter}.bundle` where the program runs; what is there is replaced
 * @throws RecipeError, BundleError
 */
export async function buildBundle(directory: string, out?: string): Promise<BuiltBundle> {
  const recipe = parseRecipe(await recipeText(directory));
  const payload = await readPayload(recipe.payload.map((each) => payloadDirectory(resolve(directory, each))));
  const prepared = await prepareBundle(recipe, payload);
  const file = resolve(out ?? bundleFileName(recipe));
  const bundleBytes = await writeWhole(file, writeBundle(prepared), true);
  const { name, version, counter, files, bytes } = prepared.manifest;
  return { file, name, version, counter, sha256: sha256Of(prepared.manifestBytes), files, bytes, bundleBytes };
}

async function recipeText(directory: string): Promise<string> {
  const file = join(directory, RECIPE_FILE);
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    throw new RecipeError([{ code: 'recipe_missing', path: [], message: `${file} cannot be read` }], { cause });
  }
}

/** Hands a bundle over that was read whole, and closes its file afterwards. @throws BundleError, NamedFileError */
export async function withBundle<T>(file: string, use: (bundle: Bundle) => Promise<T> | T): Promise<T> {
  const still = await openStillFile(file).catch(unreadable(file));
  try {
    return await use(await readBundle(still));
  } finally {
    await still.close();
  }
}

export interface BundleDifference {
  readonly from: string;
  readonly to: string;
  readonly changes: readonly PathChange[];
  /** Of the pack: what a device that runs the one fetches to have the other, and what one without either fetches. */
  readonly packBytes: number;
  readonly fullPackBytes: number;
}

/** @throws BundleError */
export const diffBundles = (a: string, b: string): Promise<BundleDifference> =>
  withBundle(a, (from) =>
    withBundle(b, async (to) => ({
      from: from.sha256,
      to: to.sha256,
      changes: diffEntries(from.entries, to.entries),
      packBytes: await packBytes(to, from),
      fullPackBytes: await packBytes(to, null),
    })),
  );

async function packBytes(to: Bundle, from: Bundle | null): Promise<number> {
  const spool = await openSpool(tmpdir());
  try {
    let bytes = 0;
    for await (const piece of makePack(to, from, spool)) bytes += piece.length;
    return bytes;
  } finally {
    await spool.close();
  }
}

/** What `paddock bundle inspect` says of a bundle. */
export interface BundleInspection {
  readonly sha256: string;
  /** Of the archive. */
  readonly bundleBytes: number;
  readonly manifest: Manifest;
  readonly entries: readonly IndexEntry[];
  /** The CycloneDX document. */
  readonly sbom: unknown;
}

/** @throws BundleError */
export const inspectBundle = (file: string): Promise<BundleInspection> =>
  withBundle(file, ({ manifest, sha256, entries, sbomBytes, bytes }) => ({
    sha256,
    bundleBytes: bytes,
    manifest,
    entries,
    sbom: parseSbom(sbomBytes),
  }));

function parseSbom(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch (cause) {
    throw new BundleError('bundle_malformed', 'the SBOM is not JSON', { cause });
  }
}
