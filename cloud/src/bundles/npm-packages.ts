import type { IndexedFile } from '@paddock/shared/bundle-index.ts';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import { held } from './content.ts';

/** A package in one version, wherever in the payload it lies. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** It lies in a node_modules; otherwise it is a program of the payload itself. */
  readonly isLibrary: boolean;
  readonly license: string | null;
  /** Of the package as the registry has it, in hex; null when no lock file says it. */
  readonly sha512: string | null;
  /** Its package.json files, sorted. */
  readonly places: readonly string[];
}

/** A package.json is some kilobytes long, a lock file some megabytes; what is longer is neither. */
const MAX_JSON_BYTES = 16_777_216;
/** What npm takes as a name, and as a version. */
const NAME = '^(@[a-z0-9~-][a-z0-9._~-]*/)?[a-zA-Z0-9~_-][a-zA-Z0-9._~-]*$';
const VERSION = '^[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z.+-]+)?$';

const Package = Compile(
  Type.Object({
    name: Type.String({ pattern: NAME, maxLength: 214 }),
    version: Type.String({ pattern: VERSION, maxLength: 256 }),
    license: Type.Optional(Type.Unknown()),
  }),
);
const Lock = Compile(
  Type.Object({ packages: Type.Record(Type.String(), Type.Object({ integrity: Type.Optional(Type.String()) })) }),
);

type Read = (path: string) => AsyncIterable<Uint8Array>;

/** @returns in the order of names and versions (UTF-16 code units), so that the same payload gives the same list */
export async function findNpmPackages(files: readonly IndexedFile[], read: Read): Promise<NpmPackage[]> {
  const sorted = files.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  const hashes = await lockedHashes(sorted, read);
  const found = new Map<string, NpmPackage>();
  for (const file of sorted.filter(({ path }) => isPackageJson(path))) {
    const value = await jsonIn(file, read);
    if (!Package.Check(value)) continue;
    const { name, version, license } = value;
    const key = `${name}@${version}`;
    const known = found.get(key);
    const directory = file.path.split('/').slice(0, -1).join('/');
    found.set(key, {
      name,
      version,
      isLibrary: known?.isLibrary === true || isInNodeModules(file.path),
      license: known?.license ?? licenseIn(license),
      sha512: known?.sha512 ?? hashes.get(directory) ?? null,
      places: [...(known?.places ?? []), file.path],
    });
  }
  return [...found].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}

const isInNodeModules = (path: string): boolean => path.split('/').includes('node_modules');

/** Of a package itself: packages bring package.json files of their tests and parts along, which are none. */
const isPackageJson = (path: string): boolean =>
  /(^|\/)node_modules\/(@[^/]+\/)?[^/@.][^/]*\/package[.]json$/.test(path) ||
  (/(^|\/)package[.]json$/.test(path) && !isInNodeModules(path));

const licenseIn = (license: unknown): string | null =>
  typeof license === 'string' && license !== '' && license.length <= 256 ? license : null;

/** What lock files say of the directories that they stand above: SHA-512 in hex. */
async function lockedHashes(files: readonly IndexedFile[], read: Read): Promise<ReadonlyMap<string, string>> {
  const hashes = new Map<string, string>();
  for (const file of files) {
    const above = /^(|.*\/)(package-lock|npm-shrinkwrap|node_modules\/[.]package-lock)[.]json$/.exec(file.path)?.[1];
    const value = above === undefined ? null : await jsonIn(file, read);
    if (above === undefined || !Lock.Check(value)) continue;
    for (const [place, { integrity }] of Object.entries(value.packages)) {
      const hash = sha512In(integrity);
      if (hash !== null) hashes.set(`${above}${place}`, hash);
    }
  }
  return hashes;
}

function sha512In(integrity = ''): string | null {
  const base64 = /(?:^| )sha512-([A-Za-z0-9+/]{86}==)(?: |$)/.exec(integrity)?.[1];
  return base64 === undefined ? null : Buffer.from(base64, 'base64').toString('hex');
}

/** A file that is no JSON is nobody's package. */
async function jsonIn(file: IndexedFile, read: Read): Promise<unknown> {
  if (file.size > MAX_JSON_BYTES) return null;
  const text = Buffer.from(await held(read(file.path))).toString('utf8');
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
