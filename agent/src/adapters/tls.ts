import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { ADDRESS_PATIENCE, connectFault } from '@paddock/shared/addresses.ts';
import type { Clock, ServerTrust } from '../ports.ts';
import { certificateFault, CERTIFICATE_FAULTS, type CertificateFault } from './tls/chain.ts';

const CONNECT_WITHIN_MS = 15_000;
const PROTOCOLS: readonly (string | null)[] = ['TLSv1.2', 'TLSv1.3'];

export class TlsError extends Error {
  override readonly name = 'TlsError';
  readonly code: CertificateFault | 'tls_failed' | 'tls_timeout' | 'tls_version';
  constructor(code: TlsError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface TlsAddress {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** What the device shows of itself: its certificate with its issuers, and the key to it. PEM, both. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

export const addressOf = (url: string, defaultPort: number): TlsAddress => {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? defaultPort : Number(port) };
};

/**
 * Connects over TLS 1.2 or 1.3. The library is told to judge no certificate, and nothing that it says of one is looked
 * at: {@link certificateFault} judges all of it, and before it has found nothing wrong nobody gets the connection, so
 * not a byte is written. No session is ever resumed: each connection is judged anew.
 * @param trust null: whoever answers, to hear what proves itself, and to say nothing that others must not know
 * @throws TlsError; `cause` keeps what the library said
 */
export async function connectTls(
  address: TlsAddress,
  trust: ServerTrust | null,
  client: ClientCertificate | null,
  clock: Clock,
): Promise<TLSSocket> {
  const socket = connect(optionsOf(address, client));
  // For good: an alert may come while nobody listens, and must not end the process.
  socket.on('error', () => {});
  const over = new AbortController();
  try {
    await secured(socket, clock, over.signal);
    judge(socket, address, trust);
    return socket;
  } catch (cause) {
    socket.destroy();
    throw cause;
  } finally {
    over.abort();
  }
}

const optionsOf = ({ host, port }: TlsAddress, client: ClientCertificate | null): ConnectionOptions => ({
  host,
  port,
  // RFC 6066, section 3: no addresses.
  ...(isIP(host) === 0 && { servername: host }),
  minVersion: 'TLSv1.2',
  rejectUnauthorized: false,
  ...ADDRESS_PATIENCE,
  ...client,
});

function secured(socket: TLSSocket, clock: Clock, over: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', (cause: Error) => reject(new TlsError('tls_failed', connectFault(cause), { cause })));
    socket.once('close', () => reject(new TlsError('tls_failed', 'The server closed the connection')));
    void clock
      .sleep(CONNECT_WITHIN_MS, over)
      .then(() => reject(new TlsError('tls_timeout', 'No TLS connection in time')));
  });
}

function judge(socket: TLSSocket, { host }: TlsAddress, trust: ServerTrust | null): void {
  const fault = trust === null ? null : certificateFault(sentBy(socket), host, trust);
  if (fault !== null) throw new TlsError(fault, `${CERTIFICATE_FAULTS[fault]} (${host})`);
  if (!PROTOCOLS.includes(socket.getProtocol())) throw new TlsError('tls_version', 'TLS is older than 1.2');
  // A server that was judged stays who it is (TLS 1.2 could change it).
  socket.disableRenegotiation();
  socket.setNoDelay(true);
}

/** The leaf and what came behind it, in the order of the wire. */
function sentBy(socket: TLSSocket): X509Certificate[] {
  const sent: X509Certificate[] = [];
  for (let next = socket.getPeerX509Certificate(); next && sent.length < 10; next = next.issuerCertificate)
    sent.push(next);
  return sent;
}
