import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { isDeviceId } from '@paddock/shared/topics.ts';
import { readCloudKeys } from './adapters/cloud-keys.ts';
import { agentYaml } from './agent-template.ts';
import { loadConfig, readConfig, type AgentConfig } from './config.ts';
import { ensureIdentityKey, openIdentityKey, type IdentityKey } from './identity-key.ts';

export class SetupError extends Error {
  override readonly name = 'SetupError';
  readonly code: 'config_exists' | 'device_id_invalid' | 'device_id_missing';
  constructor(code: SetupError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

export interface SetupOptions {
  readonly config: string;
  readonly device?: string;
  readonly url: string;
  /** A JWK Set to pin. */
  readonly cloudKeys?: string;
  /** Writes the configuration again; never the key. */
  readonly force: boolean;
}

export interface SetUp {
  readonly config: AgentConfig;
  readonly key: Pick<IdentityKey, 'public' | 'token'>;
  readonly madeConfig: boolean;
  readonly madeKey: boolean;
}

/** Makes what is missing: the configuration, the identity key, the pinned cloud keys. */
export async function setUp(options: SetupOptions): Promise<SetUp> {
  const file = resolve(options.config);
  const madeConfig = await ensureConfig(file, options);
  const config = await loadConfig(file);
  if (options.cloudKeys !== undefined) await pinCloudKeys(resolve(options.cloudKeys), config.cloud.keys);
  const madeKey = await ensureIdentityKey(config);
  const key = await openIdentityKey(config);
  key.close();
  return { config, key, madeConfig, madeKey };
}

async function ensureConfig(file: string, { device, url, force }: SetupOptions): Promise<boolean> {
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  if (exists && !force && device === undefined) return false;
  if (exists && !force)
    throw new SetupError(
      'config_exists',
      `${file} exists: leave --device out to keep it, or add --force to write it again`,
    );
  if (device === undefined)
    throw new SetupError('device_id_missing', 'Which device is this? Give its id with --device');
  if (!isDeviceId(device))
    throw new SetupError(
      'device_id_invalid',
      `"${device}" is no device id: 3 to 36 of a-z, 0-9 and -, not beginning with -`,
    );
  const yaml = agentYaml(device, url);
  // A file that cannot be used would have to be deleted by hand.
  readConfig(yaml, file);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, yaml);
  return true;
}

/** Checked before it is copied: a wrong file would only show when the first answer is not believed. */
async function pinCloudKeys(from: string, to: string): Promise<void> {
  await readCloudKeys(from);
  if (from !== to) await copyFile(from, to);
}
