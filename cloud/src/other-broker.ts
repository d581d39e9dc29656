import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { RemoteBroker } from './adapters/mqtt.ts';
import { readClientTls, type ClientTls } from './adapters/mqtt-tls.ts';
import { visit } from './adapters/mqtt-visit.ts';
import { runCommand } from './adapters/shell-command.ts';
import { replaceFile } from './adapters/whole-file.ts';
import type { Background, Base } from './base.ts';
import { isInstanceName } from './brokers/mosquitto.ts';
import { ConfigError } from './config.ts';
import type { Broker } from './ports.ts';
import { Evictions } from './trust/eviction.ts';
import { RevocationFile, type ListReader } from './trust/revocation-file.ts';

const RELOAD_TIMEOUT_MS = 10_000;

/**
 * A broker beside the service, which is not open yet, and the list of revoked certificates for it.
 * @throws ConfigError, and what reading files throws
 */
export async function otherBroker(
  base: Base,
  url: string,
  background: Background,
): Promise<{ readonly broker: Broker; readonly revocationFile?: RevocationFile }> {
  const { config, clock } = base;
  const { shareGroup, brokerConnections: connections } = config;
  const tls = await readClientTls(config);
  requireNameEach(tls, connections);
  const broker = new RemoteBroker({ url, shareGroup, connections, clock, tls });
  if (config.brokerCrl === null) return { broker };
  const reader = config.brokerReload === null ? {} : { reader: tellBroker(base, url, config.brokerReload, background) };
  return { broker, revocationFile: keepRevoked(base, config.brokerCrl, reader, background) };
}

/**
 * Mosquitto with our settings takes the name in a certificate for the client id: two connections that show the same one
 * would push each other off for ever.
 * @throws ConfigError
 */
function requireNameEach(tls: readonly ClientTls[], connections: number): void {
  const names = tls.map(({ cert }) => (cert === undefined ? '' : nameIn(cert))).filter(isInstanceName);
  if (names.length > 0 && new Set(names).size < connections)
    throw new ConfigError([
      `PADDOCK_BROKER_CONNECTIONS is ${connections}, and PADDOCK_BROKER_CERT has to name a certificate for each: make them with \`paddock broker-config mosquitto --tls --connections ${connections}\``,
    ]);
}

/** @throws ConfigError */
function nameIn(certificatePem: string): string {
  try {
    return /^CN=(.*)$/m.exec(new X509Certificate(certificatePem).subject)?.[1] ?? '';
  } catch {
    throw new ConfigError(['PADDOCK_BROKER_CERT has to name certificates in PEM']);
  }
}

/** A broker that has to read the list anew, and closes no connection for it. */
function tellBroker(base: Base, url: string, command: string, background: Background): ListReader {
  const { config } = base;
  const evictions = new Evictions({
    ...base,
    takeOver: async (clientId, identity) => {
      const ca = config.brokerCa === null ? undefined : await readFile(config.brokerCa, 'utf8');
      return visit(url, clientId, identity, ca);
    },
  });
  background((signal) => evictions.run(signal));
  return {
    reload: () => runCommand(command, RELOAD_TIMEOUT_MS),
    evict: (deviceIds) => evictions.evict(deviceIds),
  };
}

function keepRevoked(
  base: Base,
  file: string,
  reader: { readonly reader?: ListReader },
  background: Background,
): RevocationFile {
  const kept = new RevocationFile({ ...base, ...reader, sql: base.store, write: (pem) => replaceFile(file, pem) });
  base.authorities.onChange(() => kept.changed());
  background((signal) => kept.run(signal));
  return kept;
}
