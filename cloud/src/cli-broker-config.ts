import { resolve } from 'node:path';
import type { Command } from 'commander';
import { systemClock } from './adapters/system-clock.ts';
import { parseListener, showMosquitto, writeMosquitto, type BrokerPlace } from './broker-config.ts';
import { writeTlsMosquitto } from './broker-config-tls.ts';
import type { ServiceConnections } from './brokers/mosquitto.ts';
import { print, sub, type Options } from './cli-command.ts';
import { SHOWN_DIGITS } from './trust/standing.ts';
import { ConfigError, readConfig } from './config.ts';
import { SETTINGS } from './settings.ts';
import { authoritiesOf } from './open-trust.ts';
import { tellAuditLog, terminalEntry } from './terminal-audit.ts';
import { livingOf } from './trust/life.ts';
import type { Authority } from './trust/authority.ts';

/** `paddock broker-config`: settings for a broker beside the service. */
export function addBrokerConfig(root: Command): void {
  const group = root.command('broker-config').description('settings for a broker beside the service');
  const mosquitto = sub(group, 'mosquitto', 'mosquitto.conf and its ACL, complete, with a reason for each line', [
    'broker-config mosquitto',
    'broker-config mosquitto --tls --listen 10.0.0.5 --hosts mqtt.example --out /etc/mosquitto/paddock',
  ])
    .option('--listen <address>', 'the address that it listens on', '127.0.0.1')
    .option('--port <port>', 'the port (default 8883 with --tls, otherwise 1883)')
    .option('--tls', 'mutual TLS: a client is the device of its certificate')
    .option('--hosts <names>', `with --tls: ${SETTINGS.publicHosts.help} (by default as the service)`)
    .option('--instances <count>', 'with --tls: instances of the service, each with a certificate of its own', '1')
    .option('--connections <count>', 'with --tls: connections of each instance, with a certificate each', '1')
    .option('--ca <id>', 'with --tls: who issues the certificates, by its beginning, where there are several')
    .option('--out <directory>', 'write the files there, with new secrets, instead of showing them');
  mosquitto.action(async () => {
    const options = mosquitto.optsWithGlobals<Options>();
    const port = String(options['port'] ?? (options['tls'] ? 8883 : 1883));
    const { out } = options;
    const directory = typeof out === 'string' ? out : '/etc/mosquitto/paddock';
    const place = { ...parseListener(String(options['listen']), port), directory };
    const service = options['tls'] ? serviceIn(options) : undefined;
    if (out === undefined) {
      const settings = showMosquitto(place, service);
      return print(mosquitto, { settings }, () => settings.trimEnd());
    }
    await (service === undefined ? writePlain(mosquitto, place) : writeTls(mosquitto, place, service));
  });
}

/** @throws ConfigError */
function issuerIn(held: readonly Authority[], beginning = ''): Authority {
  const [only, second] = held.filter(({ id }) => id.startsWith(beginning));
  if (only === undefined || second !== undefined)
    throw new ConfigError([
      `--ca has to say which of ${held.map(({ id }) => id.slice(0, SHOWN_DIGITS)).join(', ')} issues`,
    ]);
  return only;
}

/** @throws ConfigError */
function serviceIn(options: Options): ServiceConnections {
  const countIn = (name: string): number => {
    const text = String(options[name]);
    if (!/^[1-9]\d?$/.test(text)) throw new ConfigError([`--${name} has to be a whole number from 1 to 99`]);
    return Number(text);
  };
  return { instances: countIn('instances'), connections: countIn('connections') };
}

async function writePlain(command: Command, place: BrokerPlace): Promise<void> {
  const written = await writeMosquitto(place);
  print(command, written, () =>
    [
      ...written.files.map((file) => `wrote ${file}`),
      `Let the broker's user own ${written.files.at(-1)}, and start every instance of the service with:`,
      `PADDOCK_BROKER_URL=${written.brokerUrl}`,
      `PADDOCK_SHARE_GROUP=${written.shareGroup}`,
    ].join('\n'),
  );
}

async function writeTls(command: Command, place: BrokerPlace, service: ServiceConnections): Promise<void> {
  const { dataDir, hosts } = command.optsWithGlobals<{ dataDir?: string; hosts?: string }>();
  const config = readConfig(process.env, { ...(dataDir && { dataDir }), ...(hosts && { publicHosts: hosts }) });
  const held = livingOf(await authoritiesOf(config, config.dataDir, systemClock), systemClock.wall());
  const authority = issuerIn(held, command.optsWithGlobals<{ ca?: string }>().ca);
  const written = await writeTlsMosquitto(
    { ...place, ...service, hosts: config.publicHosts },
    authority,
    systemClock.wall(),
    held.filter((one) => one !== authority),
  );
  const issued = { issuer: authority.id, hosts: config.publicHosts.join(' '), serials: written.serials.join(' ') };
  const entry = terminalEntry('issueBrokerCertificates', { ...issued, directory: resolve(place.directory) });
  const isAudited = await tellAuditLog(config, entry);
  print(command, { ...written, isAudited }, () =>
    [
      ...written.files.map((file) => `wrote ${file}`),
      ...(isAudited ? [] : ['The audit log cannot be reached from here: note that these certificates were issued']),
      'Let the broker’s user own broker.key.pem, take the cloud-* files to the instances of the service, and start each with:',
      `PADDOCK_BROKER_URL=${written.brokerUrl}`,
      `PADDOCK_BROKER_CA=${written.ca}`,
      ...written.instances.flatMap(({ cert, key }) => [`PADDOCK_BROKER_CERT=${cert}`, `PADDOCK_BROKER_KEY=${key}`]),
      ...(service.connections > 1 ? [`PADDOCK_BROKER_CONNECTIONS=${service.connections}`] : []),
      `PADDOCK_SHARE_GROUP=${written.shareGroup}`,
      'And the one beside the broker, so that what is revoked is refused there and loses its connection:',
      `PADDOCK_BROKER_CRL=${written.crl}`,
      'PADDOCK_BROKER_RELOAD="systemctl reload paddock-mosquitto"',
    ].join('\n'),
  );
}
