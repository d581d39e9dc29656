import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { isDeviceId } from '@paddock/shared/topics.ts';
import { readCloudKeys } from './adapters/cloud-keys.ts';
import { agentYaml, enrollingYaml } from './agent-template.ts';
import { pinOfClaim } from './enrol/pin.ts';
import { ENROLMENT_FILE } from './enrol/record.ts';
import { loadConfig, readConfig, type AgentConfig } from './config.ts';
import { ensureIdentityKey, openIdentityKey, type IdentityKey } from './identity-key.ts';

const LOCAL_BROKER = 'mqtt://127.0.0.1:1883';

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
  /** The broker; by default the one of this machine. */
  readonly url?: string;
  /** A claim from the factory, to be put beside the configuration: the device enrols with it. */
  readonly claim?: string;
  /** A JWK Set to pin. */
  readonly cloudKeys?: string;
  /** Where the agent keeps what it knows; by default beside the configuration. */
  readonly dataDir?: string;
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
  if (options.claim !== undefined) await putClaim(options.claim, config);
  if (options.cloudKeys !== undefined) await pinCloudKeys(resolve(options.cloudKeys), config.cloud.keys);
  const madeKey = await ensureIdentityKey(config);
  const key = await openIdentityKey(config);
  key.close();
  return { config, key, madeConfig, madeKey };
}

async function ensureConfig(file: string, options: SetupOptions): Promise<boolean> {
  const exists = await stat(file).then(
    () => true,
    () => false,
  );
  const { device, claim, force } = options;
  if (exists && !force && device === undefined && claim === undefined) return false;
  if (exists && !force)
    throw new SetupError(
      'config_exists',
      `${file} exists: leave --device and --claim out to keep it, or add --force to write it again`,
    );
  const yaml = yamlFor(options);
  // A file that cannot be used would have to be deleted by hand.
  readConfig(yaml, file);
  if (claim !== undefined) await pinOfClaim(await readFile(claim, 'utf8'));
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, yaml);
  return true;
}

function yamlFor({ device, url = LOCAL_BROKER, claim, dataDir }: SetupOptions): string {
  if (claim !== undefined) return enrollingYaml(dataDir);
  if (device === undefined)
    throw new SetupError(
      'device_id_missing',
      'Which device is this? Give its id with --device, or a claim with --claim',
    );
  if (!isDeviceId(device))
    throw new SetupError(
      'device_id_invalid',
      `"${device}" is no device id: 3 to 36 of a-z, 0-9 and -, not beginning with -`,
    );
  return agentYaml(device, url, dataDir);
}

/** Written before the first start of this enrolment, so an older one is over: a repaired device begins with nothing. */
async function putClaim(from: string, { cloud, dataDir }: AgentConfig): Promise<void> {
  const to = cloud.claim ?? '';
  const text = await readFile(from, 'utf8');
  await writeFile(to, text, { mode: 0o600 });
  await rm(join(dataDir, ENROLMENT_FILE), { force: true });
}

/** Checked before it is copied: a wrong file would only show when the first answer is not believed. */
async function pinCloudKeys(from: string, to: string): Promise<void> {
  await readCloudKeys(from);
  if (from !== to) await copyFile(from, to);
}
