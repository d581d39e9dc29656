import { constants, X509Certificate } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import {
  createServer as createTlsServer,
  type SecureContextOptions,
  type Server as TlsServer,
  type TLSSocket,
} from 'node:tls';
import type { AddressGate, BrokerEvents, ConnectionRefusal, TlsIdentity } from '../../ports.ts';
import { peerOf, type TlsPeer } from './peer.ts';

export interface TlsListenerOptions {
  readonly host: string;
  readonly port: number;
  /** What the server shows at first; `renew` changes it. */
  readonly identity: TlsIdentity;
  /** The authorities of client certificates, in PEM, one after the other; `believe` changes them. */
  readonly authorityPem: string;
  /** By default every address may take what it likes. */
  readonly addresses?: AddressGate;
  readonly handshakeTimeoutMs?: number;
  /** Handshakes under way at once; one more, and the oldest is given up. */
  readonly maxHandshakes?: number;
}

interface ListenerParts {
  readonly events: BrokerEvents;
  /** Connections that have proved who they are, at once. */
  readonly maxConnections: number;
  readonly serve: (socket: TLSSocket, peer: TlsPeer) => void;
}

const UNBOUNDED: AddressGate = { enter: () => null, leave: () => undefined };
const HANDSHAKE_TIMEOUT_MS = 10_000;
const MAX_HANDSHAKES = 4_000;
/** A client that went away in the middle did nothing wrong. */
const GONE = ['ECONNRESET', 'EPIPE'];
const TIMED_OUT = 'ERR_TLS_HANDSHAKE_TIMEOUT';

/**
 * Mutual TLS in front of the broker. Who comes is counted by address before anything is computed for it, proves by its
 * certificate which device it is, and only then reaches the broker's parser.
 */
export class TlsListener {
  readonly #parts: ListenerParts;
  readonly #addresses: AddressGate;
  /** Takes the connections; the TLS server gets those that may go on. */
  readonly #gate: Server;
  readonly #tls: TlsServer;
  readonly #sockets = new Set<Socket>();
  /** Who is in a handshake, the oldest first: strangers are, and take no place of those who have proved themselves. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #maxHandshakes: number;
  /** Who is let in, and by which authority. */
  readonly #proven = new Map<TLSSocket, { readonly deviceId: string; readonly issuer: X509Certificate }>();
  #identity: TlsIdentity;
  #authorityPem: string;
  #authorities: readonly X509Certificate[];

  constructor(options: TlsListenerOptions, parts: ListenerParts) {
    this.#identity = options.identity;
    this.#authorityPem = options.authorityPem;
    this.#authorities = certificatesIn(options.authorityPem);
    this.#parts = parts;
    this.#maxHandshakes = options.maxHandshakes ?? MAX_HANDSHAKES;
    this.#addresses = options.addresses ?? UNBOUNDED;
    this.#tls = createTlsServer({
      ...this.#context(),
      requestCert: true,
      // Refused by us, with its code: the library would close without a word to anybody.
      rejectUnauthorized: false,
      handshakeTimeout: options.handshakeTimeoutMs ?? HANDSHAKE_TIMEOUT_MS,
    });
    this.#tls.on('secureConnection', (socket) => this.#proved(socket));
    this.#tls.on('tlsClientError', (error, socket) => this.#failed(error, socket));
    this.#gate = createServer({ noDelay: true }, (socket) => this.#begin(socket));
    // Never met, because both parts are bounded below it; should it be, it is told by the server.
    this.#gate.maxConnections = parts.maxConnections + this.#maxHandshakes;
  }

  get server(): Server {
    return this.#gate;
  }

  /** For connections to come; those that stand are not touched. */
  renew(identity: TlsIdentity): void {
    this.#identity = identity;
    this.#tls.setSecureContext(this.#context());
  }

  /** For connections to come, and for those that stand. */
  believe(authorityPem: string): void {
    this.#authorityPem = authorityPem;
    this.#authorities = certificatesIn(authorityPem);
    this.#tls.setSecureContext(this.#context());
    for (const [socket, { deviceId, issuer }] of this.#proven)
      if (!this.#authorities.some(({ raw }) => raw.equals(issuer.raw))) {
        this.#refused('certificate_untrusted', socket.remoteAddress, deviceId);
        socket.destroy();
      }
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
    const end = endOf(socket);
    this.#sockets.add(socket);
    this.#handshakes.set(end, socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#handshakes.delete(end);
      this.#addresses.leave(remoteAddress);
    });
    if (this.#handshakes.size > this.#maxHandshakes) this.#giveUpOldest();
    this.#tls.emit('connection', socket);
  }

  /** A genuine one is over soon: whoever keeps many open loses them first. */
  #giveUpOldest(): void {
    const [oldest] = this.#handshakes;
    if (oldest === undefined) return;
    const [end, socket] = oldest;
    this.#handshakes.delete(end);
    this.#refused('handshakes_too_many', socket.remoteAddress);
    socket.destroy();
  }

  #proved(socket: TLSSocket): void {
    this.#handshakes.delete(endOf(socket));
    const peer = peerOf(socket, this.#authorities);
    if ('refused' in peer) return this.#turnAway(socket, peer.refused, null);
    if (this.#proven.size >= this.#parts.maxConnections)
      return this.#turnAway(socket, 'connections_too_many', peer.deviceId);
    this.#proven.set(socket, peer);
    socket.once('close', () => this.#proven.delete(socket));
    this.#parts.serve(socket, peer);
  }

  #turnAway(socket: TLSSocket, code: ConnectionRefusal, deviceId: string | null): void {
    // What it still sends fails, and nobody else listens.
    socket.on('error', () => undefined);
    this.#refused(code, socket.remoteAddress, deviceId);
    socket.destroy();
  }

  #failed(error: Error, socket: TLSSocket): void {
    const code = 'code' in error ? String(error.code) : '';
    if (!GONE.includes(code)) this.#refused(code === TIMED_OUT ? 'tls_timeout' : 'tls_failed', socket.remoteAddress);
    socket.destroy();
  }

  #refused(code: ConnectionRefusal, address: string | undefined, deviceId: string | null = null): void {
    this.#parts.events.refusedConnection(code, { clientId: null, deviceId, address: address ?? null });
  }

  #context(): SecureContextOptions {
    const { key, cert } = this.#identity;
    return {
      key,
      cert,
      ca: this.#authorityPem,
      // A given authority may itself be issued by another one, which proves nothing here.
      allowPartialTrustChain: true,
      minVersion: 'TLSv1.2',
      // Each connection shows its certificate anew: a resumed session would carry what was good when it began.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }
}

/** The far end of a connection, which the TCP connection and the TLS on it have in common. */
const endOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

const certificatesIn = (pem: string): X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (text) => new X509Certificate(text),
  );
