import { SETTINGS, type CloudConfig, type SettingName } from './settings.ts';

/** Everything that is wrong with the configuration at once, each problem with the variable's name. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly code = 'config_invalid';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(`The configuration is not valid:\n${problems.map((problem) => `  ${problem}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * The one reader of the cloud's configuration. An empty variable is as good as none.
 * @param flags options of the command line, as text: they win over the environment
 * @throws ConfigError
 */
export function readConfig(
  env: Readonly<Record<string, string | undefined>>,
  flags: Readonly<Partial<Record<SettingName, string>>> = {},
): CloudConfig {
  const problems: string[] = [];
  const read = (name: SettingName): readonly [string, unknown] => {
    const { env: variable, flag, parse, fallback } = SETTINGS[name];
    const text = flags[name] ?? (env[variable] || undefined);
    if (text === undefined) return [name, fallback];
    try {
      return [name, parse(text)];
    } catch (error) {
      const source = flags[name] === undefined ? variable : flag?.split(' ')[0];
      problems.push(`${source} ${error instanceof Error ? error.message : String(error)}`);
      return [name, fallback];
    }
  };
  const config = Object.fromEntries((Object.keys(SETTINGS) as SettingName[]).map(read)) as CloudConfig;
  problems.push(...contradictionsIn(config));
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

const LOOPBACK = /^(localhost|127([.][0-9]{1,3}){3}|::1)$/;

/** What no value alone is to blame for. */
function contradictionsIn(config: CloudConfig): string[] {
  const { webhookUrl, webhookSecret, brokerUrl, brokerCert, brokerKey, mqttPlain, mqttHost } = config;
  const problems: readonly Contradiction[] = [
    [
      webhookUrl !== null && webhookSecret === null,
      'PADDOCK_WEBHOOK_SECRET has to be set with PADDOCK_WEBHOOK_URL: every delivery is signed',
    ],
    ...certificateContradictions(config),
    [brokerCert?.length !== brokerKey?.length, 'PADDOCK_BROKER_CERT and PADDOCK_BROKER_KEY belong together'],
    [
      brokerCert !== null && brokerCert.length !== 1 && brokerCert.length !== config.brokerConnections,
      'PADDOCK_BROKER_CERT has to name one certificate, or one for each of PADDOCK_BROKER_CONNECTIONS',
    ],
    [
      config.brokerReload !== null && config.brokerCrl === null,
      'PADDOCK_BROKER_RELOAD needs PADDOCK_BROKER_CRL: the list that the broker reads anew',
    ],
    [
      brokerCert !== null && !/^(mqtts|wss):/.test(brokerUrl ?? ''),
      'PADDOCK_BROKER_CERT needs a PADDOCK_BROKER_URL with mqtts:// or wss://',
    ],
    [
      config.awsIotRegion !== null && !/^(mqtts|wss):/.test(brokerUrl ?? ''),
      'PADDOCK_AWS_IOT_REGION needs a PADDOCK_BROKER_URL with mqtts://: that is where devices report to then',
    ],
    [
      brokerUrl === null && mqttPlain === 'loopback' && !LOOPBACK.test(mqttHost),
      `PADDOCK_MQTT_HOST is not loopback, and MQTT on PADDOCK_MQTT_PORT has no TLS: let devices come to PADDOCK_MQTT_TLS_PORT, or set PADDOCK_MQTT_PLAIN=yes`,
    ],
    [
      isUnreachable(config),
      'PADDOCK_BROKER_URL is none with mqtts://, and devices that enrol take no other: name theirs by PADDOCK_MQTT_PUBLIC_URL, or set PADDOCK_MQTT_PLAIN=yes if no device shall enrol',
    ],
  ];
  return problems.flatMap(([is, problem]) => (is ? [problem] : []));
}

/** Another broker that devices which enrol could not report to, when nobody said that only registered ones shall. */
function isUnreachable({ brokerUrl, mqttPublicUrl, awsIotRegion, mqttPlain }: CloudConfig): boolean {
  if (brokerUrl === null || brokerUrl.startsWith('mqtts:')) return false;
  if (mqttPublicUrl !== null || awsIotRegion !== null || mqttPlain === 'yes') return false;
  return !LOOPBACK.test(new URL(brokerUrl).hostname.replace(/^\[|\]$/g, ''));
}

type Contradiction = readonly [boolean, string];

const certificateContradictions = ({
  caCert,
  caKey,
  serverCert,
  serverKey,
  serverCa,
}: CloudConfig): Contradiction[] => [
  [caCert?.length !== caKey?.length, 'PADDOCK_CA_CERT and PADDOCK_CA_KEY belong together'],
  [(serverCert === null) !== (serverKey === null), 'PADDOCK_SERVER_CERT and PADDOCK_SERVER_KEY belong together'],
  [serverCa !== null && serverCert === null, 'PADDOCK_SERVER_CA needs PADDOCK_SERVER_CERT'],
];
