import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { RemoteBroker } from '@paddock/cloud/adapters/mqtt.ts';
import { readClientTls } from '@paddock/cloud/adapters/mqtt-tls.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import type { Broker } from '@paddock/cloud/ports.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { devicePair, newAuthority, serverPair, type TlsPair } from './authority.ts';
import { startMosquitto, startTlsMosquitto, type TlsMosquitto } from './mosquitto.ts';

/** Whom a device believes, and what it shows. */
export interface Credentials extends TlsPair {
  readonly ca: string;
}

/** Where devices of a test go, and how they are let in. */
export interface Meeting {
  readonly url: string;
  /** Of a device; null where nobody has to prove anything. */
  credentials(deviceId: string): Promise<Credentials | null>;
}

/** A broker of a test, which services and devices meet at. */
export interface TestBroker extends Pick<Meeting, 'credentials'> {
  /** The service's side of it, not open yet; devices reach it at `url` once it is open. */
  join(): Promise<{ readonly broker: Broker; readonly url: () => string }>;
  stop(): Promise<void>;
}

/**
 * Every broker that reports may come through. Suites are run on those that matter to them: what is recorded has to be
 * the same on each, what is refused before that is each broker's own.
 */
const BROKERS = {
  'the embedded broker': async () => ({
    async join() {
      const broker = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock: systemClock });
      return { broker, url: () => `mqtt://127.0.0.1:${broker.port}` };
    },
    credentials: async () => null,
    stop: async () => undefined,
  }),
  'the embedded broker over mutual TLS': async () => {
    const authority = await newAuthority();
    const identity = await serverPair(authority);
    return {
      async join() {
        const listener = { host: '127.0.0.1', port: 0, identity, authorityPem: authority.certificatePem };
        const broker = new EmbeddedBroker({ host: '127.0.0.1', port: null, clock: systemClock, tls: listener });
        return { broker, url: () => `mqtts://localhost:${broker.tlsPort}` };
      },
      credentials: (deviceId) => credentialsOf(authority, deviceId),
      stop: async () => undefined,
    };
  },
  'Mosquitto over mutual TLS': async () => {
    const authority = await newAuthority();
    const mosquitto = await startTlsMosquitto(authority);
    return {
      join: async () => ({ broker: await joinTlsMosquitto(mosquitto), url: () => mosquitto.url }),
      credentials: (deviceId) => credentialsOf(authority, deviceId),
      stop: () => mosquitto.stop(),
    };
  },
  /** Mosquitto without users, access lists and bounds: then signatures have to be enough. */
  'a broker that guards nothing': async () => {
    const mosquitto = await startMosquitto({ instead: { max_packet_size: null } });
    const { url } = mosquitto;
    return {
      join: async () => ({
        broker: new RemoteBroker({ url, shareGroup: 'paddock', clock: systemClock }),
        url: () => url,
      }),
      credentials: async () => null,
      stop: () => mosquitto.stop(),
    };
  },
} as const satisfies Record<string, () => Promise<TestBroker>>;

export type BrokerName = keyof typeof BROKERS;

export const startBroker = (name: BrokerName): Promise<TestBroker> => BROKERS[name]();

/** The embedded broker as the demonstration has it, and the other one as it is to be run. */
export const BOTH_BROKERS = ['the embedded broker', 'Mosquitto over mutual TLS'] as const satisfies BrokerName[];

/** All of them, for what is said of reports whatever the broker does. */
export const ALL_BROKERS = Object.keys(BROKERS) as BrokerName[];

export async function credentialsOf(authority: Authority, deviceId: string): Promise<Credentials> {
  const { key, cert } = await devicePair(authority, deviceId);
  return { ca: authority.certificatePem, key, cert };
}

/** An instance of the service, by the files that `paddock broker-config` wrote for it. */
export async function joinTlsMosquitto({ url, shareGroup, ca, instances: [files] }: TlsMosquitto): Promise<Broker> {
  const [brokerCert, brokerKey] = [files?.cert.split(',') ?? [], files?.key.split(',') ?? []];
  const tls = await readClientTls({ brokerCa: ca, brokerCert, brokerKey });
  return new RemoteBroker({ url, shareGroup, clock: systemClock, tls });
}
