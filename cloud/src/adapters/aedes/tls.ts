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
}

interface ListenerParts {
  readonly events: BrokerEvents;
  readonly serve: (socket: TLSSocket, peer: TlsPeer) => void;
}

const UNBOUNDED: AddressGate = { enter: () => null, leave: () => undefined };
const HANDSHAKE_TIMEOUT_MS = 10_000;
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
  /** Who is let in, and by which authority. */
  readonly #issuers = new Map<TLSSocket, X509Certificate>();
  #identity: TlsIdentity;
  #authorityPem: string;
  #authorities: readonly X509Certificate[];

  constructor(options: TlsListenerOptions, parts: ListenerParts) {
    this.#identity = options.identity;
    this.#authorityPem = options.authorityPem;
    this.#authorities = certificatesIn(options.authorityPem);
    this.#parts = parts;
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
    for (const [socket, issuer] of this.#issuers)
      if (!this.#authorities.some(({ raw }) => raw.equals(issuer.raw))) {
        this.#refused('certificate_untrusted', socket.remoteAddress);
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
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#addresses.leave(remoteAddress);
    });
    this.#tls.emit('connection', socket);
  }

  #proved(socket: TLSSocket): void {
    const peer = peerOf(socket, this.#authorities);
    if (!('refused' in peer)) {
      this.#issuers.set(socket, peer.issuer);
      socket.once('close', () => this.#issuers.delete(socket));
      return this.#parts.serve(socket, peer);
    }
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

const certificatesIn = (pem: string): X509Certificate[] =>
  (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (text) => new X509Certificate(text),
  );
