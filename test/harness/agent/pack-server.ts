import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createRepository } from '@paddock/agent/adapters/repository.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { connectTls } from '@paddock/agent/adapters/tls.ts';
import type { Repository } from '@paddock/agent/ports-firmware.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { makeAuthority, makeCertificate } from '../certificates.ts';

interface Asked {
  readonly path: string;
  readonly from: number;
  /** Of the body that was sent. */
  sent: number;
}

/** A web server with files below /firmware/, over HTTPS, that breaks off or knows no ranges when a test says so. */
export class PackServer {
  readonly files = new Map<string, Uint8Array>();
  readonly asked: Asked[] = [];
  /** Every answer is cut behind so many bytes. */
  cutAfter = Number.POSITIVE_INFINITY;
  knowsRanges = true;
  /** Hears of every request, before it is answered. */
  onAsked: () => void = () => {};
  readonly repository: Repository;
  readonly #server: Server;

  private constructor(server: Server, repository: (port: number) => Repository) {
    this.#server = server;
    this.repository = repository((server.address() as AddressInfo).port);
    server.on('request', (request, response) => this.#answer(request, response));
  }

  static async start(): Promise<PackServer> {
    const authority = await makeAuthority();
    const own = await makeCertificate({ issuer: authority, names: [{ type: 'dns', value: 'localhost' }] });
    const server = createServer({ key: own.keyPem, cert: own.pem }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const clock = createSystemClock();
    const time = { earliest: wallMs(Date.now() - 50), latest: wallMs(Date.now() + 600_000) };
    const trust = { authorities: [authority.der], fingerprint: null, time };
    return new PackServer(server, (port) =>
      createRepository({
        base: `https://localhost:${port}/firmware/`,
        connect: () => connectTls({ host: 'localhost', port }, trust, null, clock),
        clock,
      }),
    );
  }

  /** Bytes of bodies so far. */
  get sentBytes(): number {
    return this.asked.reduce((sum, { sent }) => sum + sent, 0);
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.onAsked();
    const path = (request.url ?? '').replace('/firmware/', '');
    const file = this.files.get(path);
    if (file === undefined) return void response.writeHead(404).end();
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const isPart = this.knowsRanges && from !== undefined;
    const [first, last] = isPart ? [Number(from), Math.min(Number(to), file.length - 1)] : [0, file.length - 1];
    if (first >= file.length) return void response.writeHead(416).end();
    const body = file.subarray(first, last + 1);
    const cut = body.subarray(0, this.cutAfter);
    this.asked.push({ path, from: first, sent: cut.length });
    const range = isPart ? { 'content-range': `bytes ${first}-${last}/${file.length}` } : {};
    response.writeHead(isPart ? 206 : 200, { ...range, 'content-length': body.length });
    if (cut.length === body.length) response.end(body);
    else response.write(cut, () => response.destroy());
  }
}
