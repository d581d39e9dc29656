import { pbkdf2Sync } from 'node:crypto';
import { MAX_ENVELOPE_BYTES } from '@paddock/shared/envelope.ts';
import { filterOf, MESSAGE_KINDS, topicOf, type MessageKind } from '@paddock/shared/topics.ts';

export interface MosquittoOptions {
  /** Address and port that it listens on. */
  readonly address: string;
  readonly port: number;
  /** Absolute path of the directory that the other files stand in. */
  readonly directory: string;
  /** Mutual TLS: a client is the device of its certificate. Otherwise plain MQTT, for loopback. */
  readonly tls?: boolean;
}

/** The names of the files that `mosquitto.conf` speaks of. */
export const MOSQUITTO_FILES = {
  settings: 'mosquitto.conf',
  acl: 'mosquitto.acl',
  passwords: 'mosquitto.passwd',
} as const;

/** And with TLS, in place of the passwords. */
export const MOSQUITTO_TLS_FILES = {
  authority: 'ca.cert.pem',
  certificate: 'broker.cert.pem',
  key: 'broker.key.pem',
  revoked: 'revoked.crl.pem',
} as const;

/** A unit of systemd beside the files. */
export const MOSQUITTO_UNIT = 'paddock-mosquitto.service';

/** Whom the broker takes the service for: devices have no user. */
export const CLOUD_USER = 'paddock-cloud';

/**
 * The name in the certificate of a connection of the service: no device id, so that no device can have it. One each,
 * because the broker takes the name for the client id, and two of one id would push each other off.
 */
const instanceName = (instance: number, connection: number): string =>
  `${INSTANCE_NAME}-${instance}${connection === 1 ? '' : `.${connection}`}`;
const INSTANCE_NAME = 'paddock.cloud';

/** How many instances of the service come, and with how many connections each: a name, and a certificate, for each. */
export interface ServiceConnections {
  readonly instances: number;
  readonly connections: number;
}

/** Of each instance, of each of its connections. */
export const instanceNames = ({ instances, connections }: ServiceConnections): readonly (readonly string[])[] =>
  counted(instances).map((instance) => counted(connections).map((connection) => instanceName(instance, connection)));

const counted = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1);

/** Whether such a certificate was written by `paddock broker-config`: its name is the client id. */
export const isInstanceName = (name: string): boolean => name.startsWith(`${INSTANCE_NAME}-`);

/** As many as the embedded broker has. */
export const MAX_CONNECTIONS = 20_000;

/** What an MQTT packet has around an envelope: its header, and the longest topic. */
const AROUND_ENVELOPE = 128;

/** Messages that one client has not acknowledged yet. The service takes twice as many in before it holds any back. */
export const MAX_INFLIGHT = 1_000;

/** A setting of Mosquitto 2.0, and why it is what it is. */
type Setting = readonly [name: string, value: string | number, why: string];

const accessOf = ({ address, port, directory }: MosquittoOptions): readonly Setting[] => [
  [
    'listener',
    `${port} ${address}`,
    'Plain MQTT 3.1.1. WARNING: no TLS, and devices prove who they are by the signature of each report only: whoever ' +
      'reaches this port can read along, hold messages back and push a device off the broker by taking its client id, ' +
      'and can forge nothing. Listen on loopback or inside a network that you trust.',
  ],
  [
    'allow_anonymous',
    'true',
    'Devices have no password yet: the client id says which device it is, and the ACL holds it to its own topics.',
  ],
  [
    'password_file',
    `${directory}/${MOSQUITTO_FILES.passwords}`,
    `One user, ${CLOUD_USER}: the service, which alone may hear every device and speak to each.`,
  ],
  ['acl_file', `${directory}/${MOSQUITTO_FILES.acl}`, 'Who may publish and subscribe to what.'],
  ['allow_zero_length_clientid', 'false', 'A client without an id is no device.'],
];

const tlsAccessOf = ({ address, port, directory }: MosquittoOptions): readonly Setting[] => [
  ['listener', `${port} ${address}`, 'MQTT 3.1.1 over mutual TLS.'],
  ['cafile', `${directory}/${MOSQUITTO_TLS_FILES.authority}`, 'Who issued the certificates of devices and service.'],
  ['certfile', `${directory}/${MOSQUITTO_TLS_FILES.certificate}`, 'What the broker shows; good for a year.'],
  ['keyfile', `${directory}/${MOSQUITTO_TLS_FILES.key}`, 'Its key, for the broker’s user only.'],
  [
    'crlfile',
    `${directory}/${MOSQUITTO_TLS_FILES.revoked}`,
    'Certificates that were taken back. The service keeps it (PADDOCK_BROKER_CRL); send the broker SIGHUP when it ' +
      'changes. Past its date, which is 30 days away, the broker refuses everybody.',
  ],
  ['require_certificate', 'true', 'Nobody comes in without a certificate.'],
  ['tls_version', 'tlsv1.2', 'And newer.'],
  ['use_identity_as_username', 'true', 'The common name of the certificate is the user: the device id.'],
  [
    'use_username_as_clientid',
    'true',
    'And the client id, whatever the client calls itself: no device can push another one off by taking its id.',
  ],
  [
    'max_connections',
    MAX_CONNECTIONS,
    'Of all clients together: the next one is closed at once. The process needs a file descriptor for each ' +
      '(LimitNOFILE of the unit), and these are the bound that holds: Mosquitto 2.0.11 forgets to count one client ' +
      'for each that ends amid its handshake. How many may come from one address it cannot bound: the firewall can.',
  ],
  ['max_qos', 1, 'Paddock sends nothing with QoS 2, whose messages the broker would have to remember.'],
  ['max_topic_alias', 0, 'MQTT 5 cannot be refused; nothing that has to be remembered for it is offered.'],
  ['allow_anonymous', 'false', 'The same, should one of these lines get lost.'],
  ['acl_file', `${directory}/${MOSQUITTO_FILES.acl}`, 'Who may publish and subscribe to what.'],
];

const LIMITS: readonly Setting[] = [
  [
    'max_inflight_messages',
    MAX_INFLIGHT,
    'A limit of each client, 20 by default. The service is one client that acknowledges in batches, and would wait.',
  ],
  [
    'max_queued_messages',
    100_000,
    'What waits for a client beyond that: a fleet that comes back at once. What does not fit is dropped, and the ' +
      'devices send it again; without answers of the service nothing is taken for recorded.',
  ],
  ['max_queued_bytes', 134_217_728, 'The same in bytes, for each client: 128 MiB.'],
  [
    'set_tcp_nodelay',
    'true',
    "Small packets are sent at once: otherwise Nagle's algorithm makes each wait for the last.",
  ],
  [
    'max_packet_size',
    MAX_ENVELOPE_BYTES + AROUND_ENVELOPE,
    'No envelope is larger than 64 KiB (docs/protocol.md, section 2). Who sends a larger packet is disconnected, and ' +
      'the log says so; message_size_limit would acknowledge it and let it go nowhere, without a line.',
  ],
  [
    'persistence',
    'false',
    'Nothing is kept on disk: what the broker forgets, the devices send again. The database is the only queue.',
  ],
  ['queue_qos0_messages', 'false', 'Paddock sends nothing with QoS 0.'],
  [
    'persistent_client_expiration',
    '1h',
    'Sessions of Paddock are clean. One that a foreign client left behind must not gather messages for ever.',
  ],
  ['sys_interval', 0, 'Figures below $SYS: nobody may read them here.'],
  ['log_dest', 'stderr', 'The journal of systemd keeps it.'],
  ['log_type', 'error', 'What goes wrong.'],
  ['log_type', 'warning', 'The same.'],
  [
    'log_type',
    'notice',
    'Who comes from where and goes why: handshakes that fail, packets that are too large, client ids taken over.',
  ],
];

/** Only where clients are told apart for sure there is something to tell. */
const TLS_LOG: readonly Setting[] = [
  [
    'log_type',
    'debug',
    'Mosquitto says at this level only what the ACL denied ("Denied PUBLISH from ..."). It says all other packets ' +
      `there, too: ${MOSQUITTO_UNIT} keeps those out of the journal.`,
  ],
];

/** The keep-alive that agents use, as told in the file: Mosquitto gives up a client after one and a half of it. */
const EPILOGUE = `# Keep-alive: MQTT 3.1.1 leaves it to the client; agents ask for 30 s (cloud.keepAliveSeconds), the service for 30 s.
# Mosquitto closes a connection after one and a half of it. max_keepalive works with MQTT 5 only, so it is left out: a
# client that asks for none keeps its place until it is taken over, one of max_connections.
`;

/** `mosquitto.conf`, complete for Paddock, with a reason for each line. For Mosquitto 2.0 and newer. */
export function mosquittoSettings(options: MosquittoOptions): string {
  const lines = [
    ...(options.tls ? tlsAccessOf(options) : accessOf(options)),
    ...LIMITS,
    ...(options.tls ? TLS_LOG : []),
  ].map(([name, value, why]) => `${commented(why)}\n${name} ${value}\n`);
  return ['# Mosquitto for Paddock, written by `paddock broker-config mosquitto`.\n', ...lines, EPILOGUE].join('\n');
}

/** Lines of at most 118 characters. */
const commented = (text: string): string => text.replace(/(.{1,116})(?: |$)/g, '# $1\n').trimEnd();

const kindsFrom = (sender: 'device' | 'cloud'): MessageKind[] =>
  (Object.keys(MESSAGE_KINDS) as MessageKind[]).filter((kind) => MESSAGE_KINDS[kind].from === sender);

/**
 * The access control list: each device its own topics; the service all of them.
 * @param tls who the service is. Then a device is the user (%u) that its certificate names; otherwise its client
 *   id (%c), which proves nothing
 */
export function mosquittoAcl(tls?: ServiceConnections): string {
  const who = tls ? '%u' : '%c';
  const device = (access: 'write' | 'read', kind: MessageKind) => `pattern ${access} ${topicOf(kind, who)}`;
  const users = tls ? instanceNames(tls).flat() : [CLOUD_USER];
  const cloud = (access: 'write' | 'read', kind: MessageKind) => `topic ${access} ${filterOf(kind)}`;
  return [
    `# A client is the device that its ${tls ? 'certificate' : 'client id'} (${who}) names. Patterns hold for everybody.`,
    ...kindsFrom('device').map((kind) => device('write', kind)),
    ...kindsFrom('cloud').map((kind) => device('read', kind)),
    '',
    '# The service hears what devices send, through its shared subscription, and speaks to each of them.',
    ...users.flatMap((user) => [
      `user ${user}`,
      ...kindsFrom('device').map((kind) => cloud('read', kind)),
      ...kindsFrom('cloud').map((kind) => cloud('write', kind)),
      '',
    ]),
  ].join('\n');
}

/** As mosquitto_passwd makes it: PBKDF2 with SHA-512, 64 bytes. */
const PASSWORD = { kind: 7, iterations: 101, keyBytes: 64 } as const;

/** The line of a password file that lets the service in. The password is as strong as it is long: take random ones. */
export function mosquittoPassword(password: string, salt: Uint8Array): string {
  const { kind, iterations, keyBytes } = PASSWORD;
  const hash = pbkdf2Sync(password, salt, iterations, keyBytes, 'sha512').toString('base64');
  return `${CLOUD_USER}:$${kind}$${iterations}$${Buffer.from(salt).toString('base64')}$${hash}\n`;
}
