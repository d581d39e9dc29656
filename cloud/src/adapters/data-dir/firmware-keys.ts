import { generateKeyPairSync } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { keptSecret } from '../data-dir.ts';

const ONLINE_ROLES = ['snapshot', 'timestamp'] as const;

/** Keys that the service signs metadata of firmware with, by role: PKCS#8 in PEM, Ed25519, oldest first. */
export type FirmwareKeys = Readonly<Record<(typeof ONLINE_ROLES)[number], readonly string[]>>;

/** `firmware-snapshot.key.pem` is the first one; those that were made later have numbers. */
const KEY_FILE = /^firmware-(snapshot|timestamp)(?:-([1-9]\d{0,3}))?\.key\.pem$/;

const fileOf = (dataDir: string, role: string, number: number): string =>
  join(resolve(dataDir), `firmware-${role}${number === 1 ? '' : `-${number}`}.key.pem`);

/** Those that are there; the first ones are made where there are none. @throws DataDirError `secret_readable` */
export async function loadFirmwareKeys(dataDir: string): Promise<FirmwareKeys> {
  const numbers = await numbersIn(dataDir);
  const of = async (role: string): Promise<string[]> => {
    const known = numbers.get(role) ?? [];
    const kept = (known.length === 0 ? [1] : known).map((number) => keyIn(fileOf(dataDir, role, number)));
    return Promise.all(kept);
  };
  return { snapshot: await of('snapshot'), timestamp: await of('timestamp') };
}

/** One more for each role, for the next root to name. */
export async function addFirmwareKeys(dataDir: string): Promise<FirmwareKeys> {
  await loadFirmwareKeys(dataDir);
  const numbers = await numbersIn(dataDir);
  for (const role of ONLINE_ROLES) await keyIn(fileOf(dataDir, role, Math.max(...(numbers.get(role) ?? [0])) + 1));
  return loadFirmwareKeys(dataDir);
}

const keyIn = (path: string): Promise<string> => keptSecret(path, newKeyPem);

const newKeyPem = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

async function numbersIn(dataDir: string): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>();
  for (const name of await readdir(resolve(dataDir)).catch(() => [])) {
    const [whole, role = '', number = '1'] = KEY_FILE.exec(name) ?? [];
    if (whole !== undefined) found.set(role, [...(found.get(role) ?? []), Number(number)]);
  }
  for (const numbers of found.values()) numbers.sort((one, other) => one - other);
  return found;
}
