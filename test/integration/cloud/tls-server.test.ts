import { once } from 'node:events';
import type { Server } from 'node:https';
import { connect as connectPlain, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { tlsServer, type TlsServerOptions } from '@paddock/cloud/adapters/tls-server.ts';
import type { Authority } from '@paddock/cloud/trust/authority.ts';
import { Addresses } from '@paddock/cloud/trust/addresses.ts';
import { newAuthority, serverPair } from '../../harness/authority.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';

const CROWDED = '127.0.0.2';
const SHORT = { handshakeMs: 300, headersMs: 400, requestMs: 400, lookEveryMs: 50 };

let authority: Authority;
beforeAll(async () => {
  authority = await newAuthority();
});

describe('a server for whoever may come', () => {
  let server: Server;
  let refused: [code: string, address: string | null][];
  const sockets: Socket[] = [];

  beforeEach(() => void (refused = []));
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.destroy();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });

  async function start(options: Partial<TlsServerOptions> = {}): Promise<void> {
    const identity = await serverPair(authority);
    const addresses = new Addresses({ connections: 5, handshakesPerSecond: 1_000 }, systemClock);
    const made = tlsServer({ identity, addresses, refused: (...refusal) => refused.push(refusal), ...options });
    server = made.create((request, response) => {
      request.resume();
      request.once('end', () => response.end('served'));
    });
    server.listen(0, '0.0.0.0');
    await once(server, 'listening');
  }
  const port = (): number => (server.address() as AddressInfo).port;

  /** A TCP connection that says nothing. */
  function silent(localAddress = CROWDED): Socket {
    const socket = connectPlain({ port: port(), host: '127.0.0.1', localAddress });
    socket.on('error', () => undefined);
    sockets.push(socket);
    return socket;
  }
  /** A connection whose handshake is done. */
  async function secure(localAddress = '127.0.0.1'): Promise<Socket> {
    const plain = connectPlain({ port: port(), host: '127.0.0.1', localAddress });
    const socket = connect({ socket: plain, servername: 'localhost', ca: authority.certificatePem });
    sockets.push(socket);
    await once(socket, 'secureConnect');
    return socket;
  }
  async function served(): Promise<string> {
    const socket = await secure();
    socket.write('GET / HTTP/1.1\r\nhost: localhost\r\n\r\n');
    const [answer] = (await once(socket, 'data')) as [Buffer];
    return answer.toString();
  }
  const codes = (): Set<string> => new Set(refused.map(([code]) => code));

  it('serves others while one address takes whatever it gets', async () => {
    await start({ limits: { connections: 20 } });
    const crowd = Array.from({ length: 60 }, () => silent());
    await expect.poll(() => refused.length).toBe(55);
    expect(codes()).toEqual(new Set(['address_too_many']));
    expect(refused[0]).toEqual(['address_too_many', CROWDED]);
    expect(await served()).toMatch(/ 200 OK[^]*served/);
    for (const socket of crowd) socket.destroy();
    await expect.poll(() => secure(CROWDED).catch(() => null), { timeout: 5_000 }).not.toBeNull();
  });

  it('bounds how fast one address begins connections', async () => {
    await start({ addresses: new Addresses({ connections: 100, handshakesPerSecond: 1 }, systemClock) });
    for (let n = 0; n < 20; n += 1) silent();
    await expect.poll(() => refused.length).toBeGreaterThanOrEqual(14);
    expect(codes()).toEqual(new Set(['address_too_fast']));
    expect(await served()).toContain('served');
  });

  it('says so when it is full', async () => {
    await start({ limits: { connections: 2 } });
    for (let n = 0; n < 3; n += 1) silent();
    await expect.poll(() => refused).toEqual([['connections_too_many', CROWDED]]);
  });

  it('ends who does not begin TLS, or speaks something else', async () => {
    await start({ limits: SHORT });
    await once(silent(), 'close');
    expect(refused).toEqual([['tls_timeout', CROWDED]]);
    const other = silent();
    other.write('GET / HTTP/1.1\r\n\r\n');
    await once(other.resume(), 'close');
    expect(refused.at(-1)).toEqual(['tls_failed', CROWDED]);
  });

  it('ends who says nothing, or too slowly', async () => {
    await start({ limits: SHORT });
    const mute = await secure();
    await once(mute.resume(), 'close');
    expect(refused).toEqual([['request_timeout', '127.0.0.1']]);

    const slow = await secure();
    slow.on('error', () => undefined);
    slow.write('POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n');
    const ended = once(slow.resume(), 'close').then(() => 'ended');
    let state = 'sending';
    for (let n = 0; n < 100 && state === 'sending'; n += 1) {
      slow.write('a');
      state = await Promise.race([ended, sleep(50, 'sending')]);
    }
    expect(state).toBe('ended');
    expect(refused.at(-1)).toEqual(['request_timeout', '127.0.0.1']);
  });
});

describe('the enrolment server of the service', () => {
  let cloud: CloudProcess;
  const sockets: Socket[] = [];
  beforeAll(async () => {
    cloud = await startCloudProcess({ PADDOCK_ENROL_ADDRESS_CONNECTIONS: '20' });
    return async () => {
      for (const socket of sockets) socket.destroy();
      await cloud.stop();
    };
  });

  it('gives a nonce to the next device while one address holds all that it can, and keeps few words about it', async () => {
    const { port } = new URL(cloud.enrolUrl);
    let closed = 0;
    for (let n = 0; n < 80; n += 1) {
      const socket = connectPlain({ port: Number(port), host: '127.0.0.1', localAddress: CROWDED });
      socket.on('error', () => undefined).once('close', () => (closed += 1));
      sockets.push(socket);
    }
    await expect.poll(() => closed).toBeGreaterThanOrEqual(60);
    const device = connect({ port: Number(port), host: '127.0.0.1', rejectUnauthorized: false });
    sockets.push(device);
    device.write('POST /enrol/v1/nonces HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n');
    const [answer] = (await once(device, 'data')) as [Buffer];
    expect(answer.toString()).toMatch(/ 200 OK/);

    const metrics = async (): Promise<string> => (await fetch(`${cloud.httpUrl}/metrics`)).text();
    expect(await metrics()).toMatch(/refused_total\{code="address_too_many"\} [6-8]\d/);
    const entries = async () => (await cloud.call('GET', '/audit?action=connect')).body['items'] as object[];
    await expect.poll(entries).toHaveLength(5);
    const entry = { code: 'address_too_many', address: CROWDED, detail: { server: 'enrolment' } };
    expect((await entries())[0]).toMatchObject(entry);
  });
});
