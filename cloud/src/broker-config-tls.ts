import { generateKeyPairSync } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { WallMs } from '@paddock/shared/time.ts';
import {
  instanceName,
  MOSQUITTO_FILES,
  MOSQUITTO_TLS_FILES,
  mosquittoAcl,
  mosquittoSettings,
} from './brokers/mosquitto.ts';
import { newShareGroup, type BrokerPlace } from './broker-config.ts';
import type { Authority, Issued } from './trust/authority.ts';
import { pemChain } from './trust/server-certificate.ts';
import { inUrl } from './urls.ts';

export interface TlsBrokerPlace extends BrokerPlace {
  /** Names and addresses that devices and service reach the broker by. */
  readonly hosts: readonly string[];
  /** Instances of the service: a certificate for each. */
  readonly instances: number;
}

export interface WrittenTlsBroker {
  readonly files: readonly string[];
  readonly brokerUrl: string;
  readonly shareGroup: string;
  readonly ca: string;
  /** What each instance shows: `PADDOCK_BROKER_CERT` and `PADDOCK_BROKER_KEY`. */
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
 */
export async function writeTlsMosquitto(
  place: TlsBrokerPlace,
  authority: Authority,
  now: WallMs,
  beside: readonly Authority[] = [],
): Promise<WrittenTlsBroker> {
  const all = [authority, ...beside];
  const directory = resolve(place.directory);
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
  await write(MOSQUITTO_TLS_FILES.revoked, lists.join(''));
  const server = newPair();
  const broker = await serverOf(authority, place, server, now);
  const serials = [broker.serial];
  await write(MOSQUITTO_TLS_FILES.certificate, pemOf(broker));
  await write(MOSQUITTO_TLS_FILES.key, server.key, 0o600);
  const instances: { cert: string; key: string }[] = [];
  for (let instance = 1; instance <= place.instances; instance++) {
    const { key, spki } = newPair();
    const issued = await authority.issueService({ name: instanceName(instance), spki, now });
    serials.push(issued.serial);
    instances.push({
      cert: await write(`cloud-${instance}.cert.pem`, pemOf(issued)),
      key: await write(`cloud-${instance}.key.pem`, key, 0o600),
    });
  }
  const brokerUrl = `mqtts://${inUrl(place.hosts[0])}:${place.port}`;
  return { files, brokerUrl, shareGroup: newShareGroup(), ca, instances, serials };
}

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
