import { constants } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { BrokerEvents, Clock, ConnectionRefusal, TlsIdentity } from '../../ports.ts';
import { Addresses, type AddressLimits } from './addresses.ts';
import { peerOf, type TlsPeer } from './peer.ts';

export interface TlsListenerOptions {
  readonly host: string;
  readonly port: number;
  /** What the server shows at first; `renew` changes it. */
  readonly identity: TlsIdentity;
  /** The certificate of the authority of client certificates, in PEM. */
  readonly authorityPem: string;
  readonly addressLimits?: AddressLimits;
  readonly handshakeTimeoutMs?: number;
}

interface ListenerParts {
  readonly clock: Clock;
  readonly events: BrokerEvents;
  readonly serve: (socket: TLSSocket, peer: TlsPeer) => void;
}

const ADDRESS_LIMITS: AddressLimits = { connections: 2_000, handshakesPerSecond: 100 };
const HANDSHAKE_TIMEOUT_MS = 10_000;
/** A client that went away in the middle did nothing wrong. */
const GONE = ['ECONNRESET', 'EPIPE'];
const TIMED_OUT = 'ERR_TLS_HANDSHAKE_TIMEOUT';

/**
 * Mutual TLS in front of the broker. Who comes is counted by address before anything is computed for it, proves by its
 * certificate which device it is, and only then reaches the broker's parser.
 */
export class TlsListener {
  readonly #options: TlsListenerOptions;
  readonly #parts: ListenerParts;
  readonly #addresses: Addresses;
  /** Takes the connections; the TLS server gets those that may go on. */
  readonly #gate: Server;
  readonly #tls: TlsServer;
  readonly #sockets = new Set<Socket>();

  constructor(options: TlsListenerOptions, parts: ListenerParts) {
    this.#options = options;
    this.#parts = parts;
    this.#addresses = new Addresses(options.addressLimits ?? ADDRESS_LIMITS, parts.clock);
    this.#tls = createTlsServer({
      ...this.#context(options.identity),
      requestCert: true,
      // Refused by us, with its code: the library would close without a word to anybody.
      rejectUnauthorized: false,
      handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    });
    this.#tls.on('secureConnection', (socket) => this.#proved(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#failed(error, socket));
    this.#gate = createServer({ noDelay: true }, (socket) => this.#begin(socket));
  }

  get server(): Server {
    return this.#gate;
  }

  /** For connections to come; those that stand are not touched. */
  renew(identity: TlsIdentity): void {
    this.#tls.setSecureContext(this.#context(identity));
  }

  /** Ends what is still in a handshake, too. */
  destroy(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #begin(socket: Socket): void {
    const { remoteAddress } = socket;
    const refused = this.#addresses.enter(remoteAddress);
    if (refused !== null) {
      socket.destroy();
      return this.#refused(refused, remoteAddress);
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#addresses.leave(remoteAddress);
    });
    this.#tls.emit('connection', socket);
  }

  #proved(socket: TLSSocket): void {
    const peer = peerOf(socket);
    if (!('refused' in peer)) return this.#parts.serve(socket, peer);
    // What it still sends fails, and nobody else listens.
    socket.on('error', () => undefined);
    this.#refused(peer.refused, socket.remoteAddress);
    socket.destroy();
  }

  #failed(error: Error, socket: TLSSocket): void {
    const code = 'code' in error ? String(error.code) : '';
    if (!GONE.includes(code)) this.#refused(code === TIMED_OUT ? 'tls_timeout' : 'tls_failed', socket.remoteAddress);
    socket.destroy();
  }

  #refused(code: ConnectionRefusal, address: string | undefined): void {
    this.#parts.events.refusedConnection(code, null, address ?? null);
  }

  #context({ key, cert }: TlsIdentity): SecureContextOptions {
    return {
      key,
      cert,
      ca: this.#options.authorityPem,
      // A given authority may itself be issued by another one, which proves nothing here.
      allowPartialTrustChain: true,
      minVersion: 'TLSv1.2',
      // Each connection shows its certificate anew: a resumed session would carry what was good when it began.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }
}
