import { randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ConfigError } from './config.ts';
import { SETTINGS } from './settings.ts';
import {
  CLOUD_USER,
  MOSQUITTO_FILES,
  mosquittoAcl,
  mosquittoPassword,
  mosquittoSettings,
  type ServiceConnections,
} from './brokers/mosquitto.ts';

/** Where the broker will listen, and where its files are to stand: by default where Debian's package has them. */
export interface BrokerPlace {
  readonly address: string;
  readonly port: number;
  readonly directory: string;
}

/** @throws ConfigError */
export function parseListener(address: string, port: string): Pick<BrokerPlace, 'address' | 'port'> {
  try {
    return { address: SETTINGS.mqttHost.parse(address), port: SETTINGS.mqttPort.parse(port) };
  } catch (error) {
    throw new ConfigError([`--listen and --port: ${error instanceof Error ? error.message : String(error)}`]);
  }
}

/** What to put where, for a look at it: the password file is left out, because it holds a secret. */
export const showMosquitto = (place: BrokerPlace, tls?: ServiceConnections): string =>
  [
    mosquittoSettings({ ...place, tls: tls !== undefined }),
    `# ---- ${place.directory}/${MOSQUITTO_FILES.acl} ----`,
    mosquittoAcl(tls),
  ].join('\n');

export interface WrittenBroker {
  readonly files: readonly string[];
  /** What `PADDOCK_BROKER_URL` has to be: it holds the only copy of the password. */
  readonly brokerUrl: string;
  /**
   * And `PADDOCK_SHARE_GROUP`, a secret too: Mosquitto grants every subscription and checks what it delivers only, so
   * that who joins the group would swallow a part of the reports, although it could read none.
   */
  readonly shareGroup: string;
}

/** Writes all of it with a new password. The password file is for its owner only: give it to the broker's user. */
export async function writeMosquitto(place: BrokerPlace): Promise<WrittenBroker> {
  const directory = resolve(place.directory);
  await mkdir(directory, { recursive: true });
  const password = randomBytes(24).toString('base64url');
  const contents = {
    settings: { text: mosquittoSettings({ ...place, directory }), mode: 0o644 },
    acl: { text: mosquittoAcl(), mode: 0o644 },
    passwords: { text: mosquittoPassword(password, randomBytes(12)), mode: 0o600 },
  } as const satisfies Record<keyof typeof MOSQUITTO_FILES, { text: string; mode: number }>;
  const files: string[] = [];
  for (const [name, { text, mode }] of Object.entries(contents)) {
    const file = join(directory, MOSQUITTO_FILES[name as keyof typeof contents]);
    await writeFile(file, text, { mode });
    files.push(file);
  }
  return {
    files,
    shareGroup: newShareGroup(),
    brokerUrl: `mqtt://${CLOUD_USER}:${password}@${place.address}:${place.port}`,
  };
}

/** A name that nobody guesses: see `WrittenBroker`. */
export const newShareGroup = (): string => `paddock-${randomBytes(12).toString('base64url')}`;
