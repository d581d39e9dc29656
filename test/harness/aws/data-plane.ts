import { once } from 'node:events';
import { connect, type AddressInfo } from 'node:net';
import { createServer, type TLSSocket } from 'node:tls';
import type { TlsPair } from '../authority.ts';
import type { FakeAws } from './server.ts';

/** Where devices connect to in the make-believe AWS: TLS in front of a broker, for certificates that are active. */
export interface DataPlane {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * As the real one, it knows certificates one by one and looks at no authority.
 * @param service the certificate of the service's own connections, made by hand
 */
export async function startDataPlane(
  fake: FakeAws,
  server: TlsPair,
  service: Pick<TlsPair, 'cert'>,
  brokerPort: number,
): Promise<DataPlane> {
  const isKnown = (raw: Buffer): boolean => {
    const active = [...fake.account.certificates.values()].filter(({ status }) => status === 'ACTIVE');
    return [service.cert, ...active.map(({ pem }) => pem)].some((pem) => derOf(pem).equals(raw));
  };
  const listening = createServer({ ...server, requestCert: true, rejectUnauthorized: false }, (client) => {
    client.on('error', () => client.destroy());
    const certificate = client.getPeerX509Certificate();
    if (certificate === undefined || !isKnown(certificate.raw)) return void client.destroy();
    carry(client, brokerPort);
  });
  listening.on('tlsClientError', () => undefined);
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  return {
    url: `mqtts://127.0.0.1:${(listening.address() as AddressInfo).port}`,
    async close() {
      listening.close();
      await once(listening, 'close');
    },
  };
}

function carry(client: TLSSocket, brokerPort: number): void {
  const broker = connect(brokerPort, '127.0.0.1');
  for (const [from, to] of [
    [client, broker],
    [broker, client],
  ] as const) {
    from.on('error', () => to.destroy());
    from.on('close', () => to.destroy());
    from.pipe(to);
  }
}

/** The first certificate of a file in PEM. */
const derOf = (pem: string): Buffer => {
  const [, body = ''] = /-----BEGIN CERTIFICATE-----([^-]+)/.exec(pem) ?? [];
  return Buffer.from(body.replaceAll(/\s/g, ''), 'base64');
};
