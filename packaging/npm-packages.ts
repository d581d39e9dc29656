import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export const REPOSITORY = join(import.meta.dirname, '..');
const CACHE = join(REPOSITORY, 'node_modules/.cache/paddock-packaging');
const run = promisify(execFile);

/** A package of npm, as it lies on the disk and as the lock names it. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** SHA-512 of the archive that it came in, in base64; null when the lock does not know it. */
  readonly integrity: string | null;
  readonly directory: string;
}

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly integrity?: string }>>;
}

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

const lock = async (): Promise<Lock> =>
  JSON.parse(await readFile(join(REPOSITORY, 'package-lock.json'), 'utf8')) as Lock;

/** @param place below the repository, such as `node_modules/koffi` */
export async function packageAt(place: string): Promise<NpmPackage> {
  return {
    ...(await described(join(REPOSITORY, place))),
    integrity: (await lock()).packages[place]?.integrity ?? null,
  };
}

async function described(directory: string): Promise<NpmPackage> {
  const manifest = JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
  const { name, version, license = 'unknown' } = manifest;
  return { name, version, license, integrity: null, directory };
}

/**
 * One that this machine has no use for: where npm left it out it is fetched, and has to be what the lock says.
 * @throws when it cannot be fetched, or is another one
 */
export async function packageFor(name: string): Promise<NpmPackage> {
  const place = `node_modules/${name}`;
  if (existsSync(join(REPOSITORY, place, 'package.json'))) return packageAt(place);
  const { version, integrity } = (await lock()).packages[place] ?? {};
  if (version === undefined || integrity === undefined) throw new Error(`package-lock.json does not know ${name}`);
  const directory = join(CACHE, `${name.replace('/', '+')}-${version}`);
  if (!existsSync(join(directory, 'package', 'package.json')))
    await fetchInto(directory, `${name}@${version}`, integrity);
  return { ...(await described(join(directory, 'package'))), integrity };
}

async function fetchInto(directory: string, wanted: string, integrity: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  await run('npm', ['pack', wanted, '--silent', '--pack-destination', directory]);
  const [archive = ''] = await readdir(directory);
  const hash = createHash('sha512')
    .update(await readFile(join(directory, archive)))
    .digest('base64');
  if (`sha512-${hash}` !== integrity) {
    await rm(directory, { recursive: true });
    throw new Error(`${wanted} is not what package-lock.json says`);
  }
  await run('tar', ['-xzf', archive], { cwd: directory });
  await rm(join(directory, archive));
}

/** The package that a file of npm's lies in: `node_modules/a/node_modules/@b/c`. */
export function placeOf(file: string): string | null {
  const found = /^(?:.*?)((?:node_modules\/(?:@[^/]+\/)?[^/]+\/)+)/.exec(file)?.[1];
  return found?.replace(/\/$/, '') ?? null;
}
