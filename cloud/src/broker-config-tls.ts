import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { WallMs } from '@paddock/shared/time.ts';
import {
  instanceNames,
  MOSQUITTO_FILES,
  MOSQUITTO_TLS_FILES,
  MOSQUITTO_UNIT,
  mosquittoAcl,
  mosquittoSettings,
  type ServiceConnections,
} from './brokers/mosquitto.ts';
import { isPlainPath, mosquittoUnit } from './brokers/mosquitto-unit.ts';
import { ConfigError } from './config.ts';
import { newShareGroup, type BrokerPlace } from './broker-config.ts';
import type { Authority, Issued } from './trust/authority.ts';
import { pemChain } from './trust/server-certificate.ts';
import { inUrl } from './urls.ts';

export interface TlsBrokerPlace extends BrokerPlace, ServiceConnections {
  /** Names and addresses that devices and service reach the broker by. */
  readonly hosts: readonly string[];
}

export interface WrittenTlsBroker {
  readonly files: readonly string[];
  readonly brokerUrl: string;
  readonly shareGroup: string;
  readonly ca: string;
  /** What the list of revoked certificates is: `PADDOCK_BROKER_CRL`. */
  readonly crl: string;
  /** What each instance shows: `PADDOCK_BROKER_CERT` and `PADDOCK_BROKER_KEY`, of several connections with commas. */
  readonly instances: readonly { readonly cert: string; readonly key: string }[];
  /** Serials of what was issued: the broker's first. */
  readonly serials: readonly string[];
}

interface KeyPair {
  readonly key: string;
  readonly spki: Uint8Array;
}

/**
 * Writes Mosquitto's settings for mutual TLS, what it shows and believes, an empty revocation list, and the certificates
 * of the service's instances. Keys are for their owner only: give the broker's to the broker's user.
 * @param beside authorities whose certificates are believed, too
 * @throws ConfigError for a directory whose name would need quotes
 */
export async function writeTlsMosquitto(
  place: TlsBrokerPlace,
  authority: Authority,
  now: WallMs,
  beside: readonly Authority[] = [],
): Promise<WrittenTlsBroker> {
  const all = [authority, ...beside];
  const directory = resolve(place.directory);
  if (!isPlainPath(directory)) throw new ConfigError(['--out has to be a path of letters, digits, dots, - and _ only']);
  await mkdir(directory, { recursive: true });
  const files: string[] = [];
  const write = async (name: string, text: string, mode = 0o644): Promise<string> => {
    const file = join(directory, name);
    await writeFile(file, text, { mode });
    files.push(file);
    return file;
  };
  await write(MOSQUITTO_FILES.settings, mosquittoSettings({ ...place, directory, tls: true }));
  await write(MOSQUITTO_FILES.acl, mosquittoAcl(place));
  const ca = await write(MOSQUITTO_TLS_FILES.authority, all.map(({ certificatePem }) => certificatePem).join(''));
  const lists = await Promise.all(all.map((one) => one.revocationList([], now)));
  const crl = await write(MOSQUITTO_TLS_FILES.revoked, lists.join(''));
  await write(MOSQUITTO_UNIT, mosquittoUnit(directory));
  const server = newPair();
  const broker = await serverOf(authority, place, server, now);
  const serials = [broker.serial];
  await write(MOSQUITTO_TLS_FILES.certificate, pemOf(broker));
  await write(MOSQUITTO_TLS_FILES.key, server.key, 0o600);
  const show = async (name: string): Promise<{ cert: string; key: string }> => {
    const { key, spki } = newPair();
    const issued = await authority.issueService({ name, spki, now });
    serials.push(issued.serial);
    const base = fileOf(name);
    return {
      cert: await write(`${base}.cert.pem`, pemOf(issued)),
      key: await write(`${base}.key.pem`, key, 0o600),
    };
  };
  const instances: { cert: string; key: string }[] = [];
  for (const names of instanceNames(place)) {
    const pairs = await Promise.all(names.map(show));
    instances.push({ cert: pairs.map(({ cert }) => cert).join(), key: pairs.map(({ key }) => key).join() });
  }
  const brokerUrl = `mqtts://${inUrl(place.hosts[0])}:${place.port}`;
  return { files, brokerUrl, shareGroup: newShareGroup(), ca, crl, instances, serials };
}

/** `cloud-1` of `paddock.cloud-1`. */
const fileOf = (name: string): string => name.slice(name.indexOf('.') + 1);

const serverOf = (authority: Authority, { hosts }: TlsBrokerPlace, { spki }: KeyPair, now: WallMs): Promise<Issued> =>
  authority.issueServer({ spki, hosts, profile: 'broker', now });

const pemOf = ({ chain }: Issued): string => pemChain(chain);

function newPair(): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    spki: publicKey.export({ type: 'spki', format: 'der' }),
  };
}
