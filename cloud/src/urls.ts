import { EmbeddedBroker } from './adapters/aedes.ts';
import type { CloudConfig } from './settings.ts';
import type { Broker } from './ports.ts';

/** Where the broker is reached, as it is printed: plain, with TLS, or the other broker. */
export function mqttUrlsOf(config: CloudConfig, broker: Broker): { mqtt?: string; mqtts?: string } {
  const remote = withoutCredentials(config.brokerUrl);
  if (remote !== null || !(broker instanceof EmbeddedBroker)) return { mqtt: remote ?? '' };
  return {
    ...(config.mqttPlain !== 'no' && { mqtt: `mqtt://${config.mqttHost}:${broker.port}` }),
    mqtts: `mqtts://${config.mqttTlsHost}:${broker.tlsPort}`,
  };
}

/**
 * Where devices that enrol are told to report to: always with TLS, because they take nothing else.
 * @returns null when the other broker has no such address, and is for devices that people registered
 */
export function deviceUrlOf(
  { mqttPublicUrl, brokerUrl, publicHosts }: Pick<CloudConfig, 'mqttPublicUrl' | 'brokerUrl' | 'publicHosts'>,
  broker: Broker,
): string | null {
  if (mqttPublicUrl !== null) return mqttPublicUrl;
  if (brokerUrl !== null) return brokerUrl.startsWith('mqtts:') ? withoutCredentials(brokerUrl) : null;
  const port = broker instanceof EmbeddedBroker ? broker.tlsPort : 0;
  return `mqtts://${inUrl(publicHosts[0])}:${port}`;
}

/** What is printed and logged must not hold a password. */
function withoutCredentials(url: string | null): string | null {
  if (url === null) return null;
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** A host name or an address as it stands in a URL. */
export const inUrl = (host = 'localhost'): string => (host.includes(':') ? `[${host}]` : host);
