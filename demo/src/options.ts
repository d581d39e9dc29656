import { resolve } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';

export interface Options {
  /** Simulated devices beside the kiosk. */
  readonly devices: number;
  /** How often each of them reports, in seconds. */
  readonly everySeconds: number;
  readonly dataDir: string;
  readonly httpPort: number;
  readonly mqttPort: number;
  readonly mqttTlsPort: number;
  readonly enrolPort: number;
}

const MOST_DEVICES = 10_000;

const EXAMPLES = `
Settings are read from the environment:
  PADDOCK_DATA_DIR   where everything is kept        (.paddock)
  PADDOCK_HTTP_PORT  the port of the HTTP API        (8080)
  PADDOCK_MQTT_PORT  the port of the embedded broker (1883)
  PADDOCK_MQTT_TLS_PORT  the same over mutual TLS    (8883)
  PADDOCK_ENROL_PORT the port that devices enrol at  (8443)
  DATABASE_URL       a PostgreSQL of your own        (a private one is started)

Examples:
  npm start
  npm start -- --devices 200
  npm start -- --devices 1000 --every 60
  PADDOCK_HTTP_PORT=8081 PADDOCK_MQTT_PORT=1884 npm start

Exit codes: 0 stopped by Ctrl-C, 1 something failed, 2 wrong use.`;

/**
 * Reads the command line and the environment. For `--help` and wrong options it prints and exits.
 * @throws Error that names the variable whose value is wrong
 */
export function readOptions(argv: readonly string[], env: Readonly<Record<string, string | undefined>>): Options {
  const command = new Command('npm start --')
    .description('Runs the cloud service, and a demonstration kiosk whose agent reads simulated hardware.')
    .option('--devices <count>', 'simulated devices beside the kiosk', wholeNumber(0, MOST_DEVICES), 0)
    .option('--every <seconds>', 'how often each simulated device reports', wholeNumber(1, 3600), 30)
    .addHelpText('after', EXAMPLES)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse(argv, { from: 'user' });
  const { devices, every } = command.opts<{ devices: number; every: number }>();
  return {
    devices,
    everySeconds: every,
    dataDir: resolve(env['PADDOCK_DATA_DIR'] || '.paddock'),
    httpPort: portOf(env, 'PADDOCK_HTTP_PORT', 8080),
    mqttPort: portOf(env, 'PADDOCK_MQTT_PORT', 1883),
    mqttTlsPort: portOf(env, 'PADDOCK_MQTT_TLS_PORT', 8883),
    enrolPort: portOf(env, 'PADDOCK_ENROL_PORT', 8443),
  };
}

function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    return value;
  };
}

function portOf(env: Readonly<Record<string, string | undefined>>, variable: string, fallback: number): number {
  const text = env[variable] || String(fallback);
  const port = Number(text);
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535) throw new Error(`${variable} must be a port, not ${text}`);
  return port;
}
