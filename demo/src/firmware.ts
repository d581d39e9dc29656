import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Api } from './api.ts';

/** What the kiosk runs first. */
const FIRST = 'kiosk-app/1.0.0';
const runFile = promisify(execFile);

/** Runs `paddock` with these arguments, as somebody at a terminal would. @returns what it printed */
export type Paddock = (...args: readonly string[]) => Promise<string>;

export interface FirmwarePlaces {
  /** The checkout. */
  readonly root: string;
  /** Keys and drafts of the demonstration's firmware; in production people hold them, each one of them. */
  readonly folder: string;
}

/**
 * `paddock` of this checkout.
 * @param env where the service is
 * @param signal ends what runs
 */
export const paddockOf =
  (root: string, env: Readonly<Record<string, string>>, signal: AbortSignal): Paddock =>
  async (...args) => {
    const program = ['--import', join(import.meta.dirname, 'die-with-parent.ts'), join(root, 'cloud/bin/paddock.cjs')];
    const options = { env: { ...process.env, ...env }, signal };
    const { stdout } = await runFile(process.execPath, [...program, ...args], options);
    return stdout;
  };

/** Whether the demonstration has its signing keys and its first release. */
const isPrepared = ({ folder }: FirmwarePlaces): boolean => existsSync(join(folder, 'published'));

/**
 * Plays everybody who has to do with firmware, once: makes the keys that sign it, and publishes the first release of the
 * kiosk's application for this kiosk. Goes on where it was interrupted. All of it is what docs/operations.md tells operators to do.
 */
export async function publishFirst(places: FirmwarePlaces, paddock: Paddock, api: Api, kiosk: string): Promise<void> {
  if (isPrepared(places)) return;
  const { folder } = places;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const keys = join(folder, 'keys');
  if (!existsSync(keys)) await ceremony(folder, keys, paddock);
  if (!(await api.hasFirmwareRoot())) await paddock('keys', 'install', join(keys, '1.root.json'));
  if (!(await isReleased(paddock))) await release(places, keys, paddock);
  await paddock('devices', 'assign', 'kiosk-app/1', kiosk);
  await writeFile(join(folder, 'published'), '');
}

interface Release {
  readonly publishedAt: string | null;
}

/** It may have been interrupted behind it. */
async function isReleased(paddock: Paddock): Promise<boolean> {
  const releases = JSON.parse(await paddock('release', 'list', 'kiosk-app', '--json')) as readonly Release[];
  return releases.some(({ publishedAt }) => publishedAt !== null);
}

async function release({ root, folder }: FirmwarePlaces, keys: string, paddock: Paddock): Promise<void> {
  const bundle = join(folder, 'first.bundle');
  const targets = join(folder, 'first.targets.json');
  await paddock('bundle', 'build', join(root, 'firmware-bundles', FIRST), '--out', bundle);
  await paddock('release', 'sign', bundle, '--out', targets, '--key', ...(await targetsKeys(keys)), ...secret(folder));
  await paddock('release', 'publish', targets, bundle);
}

/** In one folder, under one passphrase: three people with three machines would do it in earnest. */
async function ceremony(folder: string, keys: string, paddock: Paddock): Promise<void> {
  const draft = `${keys}.new`;
  await rm(draft, { recursive: true, force: true });
  await writeFile(join(folder, 'passphrase'), `${randomBytes(18).toString('base64url')}\n`, { mode: 0o600 });
  await paddock('keys', 'init', draft, ...secret(folder));
  await rename(draft, keys);
}

const secret = (folder: string): readonly string[] => ['--passphrase-file', join(folder, 'passphrase')];

/** As many as have to sign. */
async function targetsKeys(keys: string): Promise<string[]> {
  const names = (await readdir(keys)).filter((name) => name.startsWith('targets-')).toSorted();
  return names.slice(0, 2).map((name) => join(keys, name));
}
