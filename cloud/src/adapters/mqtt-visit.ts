import { connectAsync } from 'mqtt';
import type { TlsIdentity } from '../ports.ts';

const TIMEOUT_MS = 10_000;

/**
 * Connects to another broker under a client id and leaves: whoever had the client id is disconnected by the broker.
 * @param ca whom to believe there, in PEM; by default those that Node believes
 * @throws what the broker, TLS or the network says
 */
export async function visit(
  url: string,
  clientId: string,
  { key, cert }: TlsIdentity,
  ca: string | undefined,
): Promise<void> {
  const client = await connectAsync(url, {
    clientId,
    key,
    cert,
    ...(ca !== undefined && { ca }),
    protocolVersion: 4,
    clean: true,
    reconnectPeriod: 0,
    connectTimeout: TIMEOUT_MS,
    rejectUnauthorized: true,
  });
  await client.endAsync();
}
