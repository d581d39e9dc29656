import {
  anything,
  host,
  hosts,
  matching,
  networks,
  oneOf,
  paths,
  port,
  url,
  urlWithoutCredentials,
  wholeNumber,
  type Parse,
} from './config-values.ts';

interface Setting<T> {
  readonly env: string;
  readonly parse: Parse<T>;
  readonly fallback: T;
  /** An option of `paddock serve`; secrets have none, because every user can read a command line. */
  readonly flag?: string;
  readonly help: string;
}

const setting = <T>(row: Setting<T>): Setting<T> => row;

/** Every setting of the cloud service: where it is read, what it may be, what it is otherwise. */
export const SETTINGS = {
  dataDir: setting({
    env: 'PADDOCK_DATA_DIR',
    flag: '--data-dir <path>',
    parse: anything,
    fallback: '.paddock',
    help: 'where database, keys and operator token are kept',
  }),
  httpPort: setting({
    env: 'PADDOCK_HTTP_PORT',
    flag: '--http-port <port>',
    parse: port,
    fallback: 8080,
    help: 'port of the HTTP API',
  }),
  httpHost: setting({
    env: 'PADDOCK_HTTP_HOST',
    flag: '--http-host <address>',
    parse: host,
    fallback: '127.0.0.1',
    help: 'address that the HTTP API listens on',
  }),
  trustedProxies: setting<readonly string[] | null>({
    env: 'PADDOCK_TRUSTED_PROXIES',
    flag: '--trusted-proxies <addresses>',
    parse: networks,
    fallback: null,
    help: 'addresses and networks of proxies before the HTTP API, which are believed whom they name in `X-Forwarded-For`',
  }),
  enrolPort: setting({
    env: 'PADDOCK_ENROL_PORT',
    flag: '--enrol-port <port>',
    parse: port,
    fallback: 8443,
    help: 'port that devices enrol at, over TLS',
  }),
  enrolHost: setting({
    env: 'PADDOCK_ENROL_HOST',
    flag: '--enrol-host <address>',
    parse: host,
    fallback: '127.0.0.1',
    help: 'address that it listens on',
  }),
  enrolPerAddress: setting({
    env: 'PADDOCK_ENROL_PER_ADDRESS',
    parse: wholeNumber(1, 1_000_000),
    fallback: 600,
    help: 'requests to enrol in a minute that one address may make (an IPv6 network of 64 bits is one)',
  }),
  enrolAddressConnections: setting({
    env: 'PADDOCK_ENROL_ADDRESS_CONNECTIONS',
    parse: wholeNumber(1, 1_000_000),
    fallback: 100,
    help: 'connections to enrol that one address may have',
  }),
  enrolAddressHandshakes: setting({
    env: 'PADDOCK_ENROL_ADDRESS_HANDSHAKES',
    parse: wholeNumber(1, 1_000_000),
    fallback: 20,
    help: 'connections to enrol that one address may begin in a second, on average; five times as many at once',
  }),
  mqttPort: setting({
    env: 'PADDOCK_MQTT_PORT',
    flag: '--mqtt-port <port>',
    parse: port,
    fallback: 1883,
    help: 'port of the embedded broker without TLS, where `PADDOCK_MQTT_PLAIN` allows it',
  }),
  mqttHost: setting({
    env: 'PADDOCK_MQTT_HOST',
    flag: '--mqtt-host <address>',
    parse: host,
    fallback: '127.0.0.1',
    help: 'address that it listens on for that',
  }),
  mqttPlain: setting({
    env: 'PADDOCK_MQTT_PLAIN',
    parse: oneOf(['loopback', 'yes', 'no']),
    fallback: 'no',
    help: 'whether MQTT without TLS is taken, from devices that people registered: on loopback only (`loopback`), on any address (`yes`), or not at all',
  }),
  mqttTlsPort: setting({
    env: 'PADDOCK_MQTT_TLS_PORT',
    flag: '--mqtt-tls-port <port>',
    parse: port,
    fallback: 8883,
    help: 'port of the embedded broker for MQTT over mutual TLS',
  }),
  mqttTlsHost: setting({
    env: 'PADDOCK_MQTT_TLS_HOST',
    flag: '--mqtt-tls-host <address>',
    parse: host,
    fallback: '127.0.0.1',
    help: 'address that it listens on for that',
  }),
  mqttAddressConnections: setting({
    env: 'PADDOCK_MQTT_ADDRESS_CONNECTIONS',
    parse: wholeNumber(1, 1_000_000),
    fallback: 2_000,
    help: 'connections over TLS that one address may have (an IPv6 network of 64 bits is one)',
  }),
  mqttAddressHandshakes: setting({
    env: 'PADDOCK_MQTT_ADDRESS_HANDSHAKES',
    parse: wholeNumber(1, 1_000_000),
    fallback: 100,
    help: 'connections over TLS that one address may begin in a second, on average; five times as many at once',
  }),
  publicHosts: setting({
    env: 'PADDOCK_PUBLIC_HOSTS',
    flag: '--public-hosts <names>',
    parse: hosts,
    fallback: ['localhost', '127.0.0.1'],
    help: 'names and addresses that devices reach the service by: what its server certificate holds',
  }),
  mqttPublicUrl: setting({
    env: 'PADDOCK_MQTT_PUBLIC_URL',
    flag: '--mqtt-public-url <url>',
    parse: urlWithoutCredentials('mqtts'),
    fallback: null,
    help: 'where devices that enrol are told to report to, when it is not the first public name or the other broker',
  }),
  caCert: setting<readonly string[] | null>({
    env: 'PADDOCK_CA_CERT',
    flag: '--ca-cert <files>',
    parse: paths,
    fallback: null,
    help: "certificate of another authority than the data directory's, in PEM; several with commas between, the oldest first",
  }),
  caKey: setting<readonly string[] | null>({
    env: 'PADDOCK_CA_KEY',
    flag: '--ca-key <files>',
    parse: paths,
    fallback: null,
    help: 'its key, in PEM; of several in the same order',
  }),
  serverCert: setting<string | null>({
    env: 'PADDOCK_SERVER_CERT',
    flag: '--server-cert <file>',
    parse: anything,
    fallback: null,
    help: 'server certificate from outside with what stands behind it, in PEM, in place of one by our own authority',
  }),
  serverKey: setting<string | null>({
    env: 'PADDOCK_SERVER_KEY',
    flag: '--server-key <file>',
    parse: anything,
    fallback: null,
    help: 'its key, in PEM',
  }),
  serverCa: setting<string | null>({
    env: 'PADDOCK_SERVER_CA',
    flag: '--server-ca <file>',
    parse: anything,
    fallback: null,
    help: 'who issues it, in PEM: to be named by the lists of keys, so that devices believe it',
  }),
  brokerUrl: setting({
    env: 'PADDOCK_BROKER_URL',
    parse: url('mqtt', 'mqtts', 'ws', 'wss'),
    fallback: null,
    help: 'another MQTT broker; the embedded one is not started then',
  }),
  brokerCa: setting<string | null>({
    env: 'PADDOCK_BROKER_CA',
    parse: anything,
    fallback: null,
    help: "file with the authority of another broker's server certificate; by default those that Node believes",
  }),
  brokerCert: setting<readonly string[] | null>({
    env: 'PADDOCK_BROKER_CERT',
    parse: paths,
    fallback: null,
    help: 'file with the client certificate that the service shows to another broker; several with commas between, one a connection',
  }),
  brokerKey: setting<readonly string[] | null>({
    env: 'PADDOCK_BROKER_KEY',
    parse: paths,
    fallback: null,
    help: 'file with its key; of several in the same order',
  }),
  brokerCrl: setting<string | null>({
    env: 'PADDOCK_BROKER_CRL',
    parse: anything,
    fallback: null,
    help: 'file that the service keeps the list of revoked certificates in, for another broker',
  }),
  brokerReload: setting<string | null>({
    env: 'PADDOCK_BROKER_RELOAD',
    parse: matching(/^[^\0]+$/, 'has to be a command of the shell'),
    fallback: null,
    help: 'command of the shell that makes that broker read the list anew; then connections of what was revoked are closed',
  }),
  shareGroup: setting({
    env: 'PADDOCK_SHARE_GROUP',
    flag: '--share-group <name>',
    parse: matching(/^[A-Za-z0-9_.-]{1,64}$/, 'has to be 1 to 64 letters, digits, dots, - or _'),
    fallback: 'paddock',
    help: 'group of the shared subscription on another broker',
  }),
  brokerConnections: setting({
    env: 'PADDOCK_BROKER_CONNECTIONS',
    flag: '--broker-connections <count>',
    parse: wholeNumber(1, 100),
    fallback: 1,
    help: 'connections to another broker that share what devices send; AWS IoT carries about 100 messages a second on each',
  }),
  awsIotRegion: setting<string | null>({
    env: 'PADDOCK_AWS_IOT_REGION',
    flag: '--aws-iot-region <region>',
    parse: matching(/^[a-z0-9-]{4,32}$/, 'has to be a region, such as eu-central-1'),
    fallback: null,
    help: 'region of AWS IoT Core, where devices get their certificates and report to',
  }),
  awsIotGroup: setting({
    env: 'PADDOCK_AWS_IOT_GROUP',
    flag: '--aws-iot-group <name>',
    parse: matching(/^[A-Za-z0-9_-]{1,64}$/, 'has to be 1 to 64 letters, digits, - or _'),
    fallback: 'paddock',
    help: 'thing group of the devices there; their policy is `<group>-device`',
  }),
  awsIotEndpoint: setting({
    env: 'PADDOCK_AWS_IOT_ENDPOINT',
    parse: url('http', 'https'),
    fallback: null,
    help: "another address of AWS IoT's control plane than the region's own",
  }),
  databaseUrl: setting({
    env: 'DATABASE_URL',
    parse: url('postgres', 'postgresql'),
    fallback: null,
    help: 'another PostgreSQL; the private one is not started then',
  }),
  retentionDays: setting({
    env: 'PADDOCK_RETENTION_DAYS',
    flag: '--retention-days <days>',
    parse: wholeNumber(0, 36_500),
    fallback: 400,
    help: 'days that reports are kept, 0 for ever',
  }),
  auditRetentionDays: setting({
    env: 'PADDOCK_AUDIT_RETENTION_DAYS',
    flag: '--audit-retention-days <days>',
    parse: wholeNumber(0, 36_500),
    fallback: 1_825,
    help: 'days that the audit log is kept, 0 for ever',
  }),
  clockErrorMs: setting({
    env: 'PADDOCK_CLOCK_ERROR_MS',
    flag: '--clock-error-ms <ms>',
    parse: wholeNumber(0, 3_600_000),
    fallback: 100,
    help: "how wrong this machine's clock can be",
  }),
  webhookUrl: setting({
    env: 'PADDOCK_WEBHOOK_URL',
    flag: '--webhook-url <url>',
    parse: urlWithoutCredentials('http', 'https'),
    fallback: null,
    help: 'who is told when a device is lost or back',
  }),
  webhookSecret: setting<string | null>({
    env: 'PADDOCK_WEBHOOK_SECRET',
    parse: matching(/^whsec_[A-Za-z0-9+/]{32,86}={0,2}$/, 'has to be "whsec_" and 24 to 64 bytes in base64'),
    fallback: null,
    help: 'what webhooks are signed with',
  }),
  logLevel: setting({
    env: 'PADDOCK_LOG_LEVEL',
    flag: '--log-level <level>',
    parse: oneOf(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
    fallback: 'info',
    help: 'what is logged',
  }),
} as const;

export type SettingName = keyof typeof SETTINGS;
export type CloudConfig = { readonly [Name in SettingName]: ReturnType<(typeof SETTINGS)[Name]['parse']> };
