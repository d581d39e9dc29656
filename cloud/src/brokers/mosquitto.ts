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

/** Whom the broker takes the service for: devices have no user. */
export const CLOUD_USER = 'paddock-cloud';

/**
 * The name in the certificate of an instance of the service: no device id, so that no device can have it. One each,
 * because the broker takes the name for the client id, and two of one id would push each other off.
 */
export const instanceName = (instance: number): string => `${INSTANCE_NAME}-${instance}`;
const INSTANCE_NAME = 'paddock.cloud';

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
    'message_size_limit',
    MAX_ENVELOPE_BYTES,
    'No envelope is larger (docs/protocol.md, section 2). A larger message is acknowledged and goes nowhere.',
  ],
  [
    'max_packet_size',
    2 * MAX_ENVELOPE_BYTES,
    'And who sends packets beyond any reason is disconnected before they fill the memory.',
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
  ['log_dest', 'stderr', 'The journal of systemd keeps it.'],
  ['log_type', 'error', 'A line for each connection would drown these in a fleet that reconnects.'],
  ['log_type', 'warning', 'The same.'],
];

/** The keep-alive that agents use, as told in the file: Mosquitto gives up a client after one and a half of it. */
const EPILOGUE = `# Keep-alive: MQTT 3.1.1 leaves it to the client; agents ask for 30 s (cloud.keepAliveSeconds), the service for 30 s.
# Mosquitto closes a connection after one and a half of it. max_keepalive works with MQTT 5 only, so it is left out.
`;

/** `mosquitto.conf`, complete for Paddock, with a reason for each line. For Mosquitto 2.0 and newer. */
export function mosquittoSettings(options: MosquittoOptions): string {
  const lines = [...(options.tls ? tlsAccessOf : accessOf)(options), ...LIMITS].map(
    ([name, value, why]) => `${commented(why)}\n${name} ${value}\n`,
  );
  return ['# Mosquitto for Paddock, written by `paddock broker-config mosquitto`.\n', ...lines, EPILOGUE].join('\n');
}

/** Lines of at most 118 characters. */
const commented = (text: string): string => text.replace(/(.{1,116})(?: |$)/g, '# $1\n').trimEnd();

const kindsFrom = (sender: 'device' | 'cloud'): MessageKind[] =>
  (Object.keys(MESSAGE_KINDS) as MessageKind[]).filter((kind) => MESSAGE_KINDS[kind].from === sender);

/**
 * The access control list: each device its own topics; the service all of them.
 * @param tls.instances of the service. Then a device is the user (%u) that its certificate names; otherwise its client
 *   id (%c), which proves nothing
 */
export function mosquittoAcl(tls?: { readonly instances: number }): string {
  const who = tls ? '%u' : '%c';
  const device = (access: 'write' | 'read', kind: MessageKind) => `pattern ${access} ${topicOf(kind, who)}`;
  const users = tls ? Array.from({ length: tls.instances }, (_, n) => instanceName(n + 1)) : [CLOUD_USER];
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
