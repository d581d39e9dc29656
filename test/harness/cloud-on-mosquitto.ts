import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { authoritiesOf } from '@paddock/cloud/open-trust.ts';
import { startCloudProcess, type CloudProcess } from './cloud-process.ts';
import { credentialsOf, type Meeting } from './brokers.ts';
import { startTlsMosquitto, type TlsMosquitto } from './mosquitto.ts';

export interface MetCloud extends CloudProcess {
  /** For devices of a test that did not enrol. */
  readonly meeting: Meeting;
}

export interface CloudOnMosquitto extends MetCloud {
  readonly mosquitto: TlsMosquitto;
}

/** What an instance of the service has to be told, as `paddock broker-config` prints it. */
const brokerEnvironment = (mosquitto: TlsMosquitto, instance = 0): Record<string, string> => ({
  PADDOCK_BROKER_URL: mosquitto.url,
  PADDOCK_BROKER_CA: mosquitto.ca,
  PADDOCK_BROKER_CERT: mosquitto.instances[instance]?.cert ?? '',
  PADDOCK_BROKER_KEY: mosquitto.instances[instance]?.key ?? '',
  PADDOCK_SHARE_GROUP: mosquitto.shareGroup,
  PADDOCK_BROKER_CRL: mosquitto.revokedFile,
});

/**
 * `paddock serve` beside a Mosquitto with the generated settings for mutual TLS, whose certificates are of the service's
 * own authority.
 * @param reload what `PADDOCK_BROKER_RELOAD` is, given the broker; by default SIGHUP
 */
export async function startCloudOnMosquitto(
  env: Readonly<Record<string, string>> = {},
  reload = ({ reloadCommand }: TlsMosquitto): string => reloadCommand,
): Promise<CloudOnMosquitto> {
  const dataDir = await mkdtemp(join(tmpdir(), 'paddock-cloud-'));
  const [authority] = await authoritiesOf({ caCert: null, caKey: null }, dataDir, systemClock);
  if (authority === undefined) throw new Error('No authority was made');
  const mosquitto = await startTlsMosquitto(authority);
  const settings = { ...brokerEnvironment(mosquitto), PADDOCK_BROKER_RELOAD: reload(mosquitto), ...env };
  const cloud = await startCloudProcess(settings, undefined, dataDir).catch(async (error: unknown) => {
    await mosquitto.stop();
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  return {
    ...cloud,
    mosquitto,
    meeting: { url: mosquitto.url, credentials: (deviceId) => credentialsOf(authority, deviceId) },
    async stop() {
      await cloud.stop();
      await mosquitto.stop();
    },
    async destroy() {
      await cloud.destroy();
      await mosquitto.stop();
    },
  };
}

/** Where devices report to. */
export type CloudBroker = 'the embedded broker' | 'Mosquitto with mutual TLS';

/** Both, for suites that have to hold on each. */
export const CLOUD_BROKERS = ['the embedded broker', 'Mosquitto with mutual TLS'] as const satisfies CloudBroker[];

export async function startCloud(broker: CloudBroker, env: Readonly<Record<string, string>> = {}): Promise<MetCloud> {
  if (broker === 'Mosquitto with mutual TLS') return startCloudOnMosquitto(env);
  const cloud = await startCloudProcess(env);
  return { ...cloud, meeting: { url: cloud.mqttUrl, credentials: async () => null } };
}
