import { once } from 'node:events';
import { createServer as createHttp, type RequestListener, type ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { createRepository, type RepositoryOptions } from '@paddock/agent/adapters/repository.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { connectTls } from '@paddock/agent/adapters/tls.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority, makeCertificate, type TestCertificate } from '../../harness/certificates.ts';
import { codeThrown } from '../../harness/tuf/client.ts';

const FILE = Buffer.from(Array.from({ length: 300_000 }, (_, n) => (n * 7) % 251));
const clock = createSystemClock();
const GO_ON = new AbortController().signal;
const closers: (() => void)[] = [];
let authority: TestCertificate;
let own: TestCertificate;

beforeAll(async () => {
  authority = await makeAuthority();
  own = await makeCertificate({ issuer: authority, names: [{ type: 'dns', value: 'localhost' }] });
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A server that answers as a test says, and a repository on it by the authority that is trusted. */
async function on(
  listener: RequestListener,
  more: Partial<RepositoryOptions> = {},
): Promise<ReturnType<typeof createRepository>> {
  const server = createServer({ key: own.keyPem, cert: own.pem }, listener).listen(0, '127.0.0.1');
  server.keepAliveTimeout = 60_000;
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const time = { earliest: wallMs(Date.now() - 50), latest: wallMs(Date.now() + 60_000) };
  const trust = { authorities: [authority.der], fingerprint: null, time };
  const connect = () => connectTls({ host: 'localhost', port }, trust, null, clock);
  return createRepository({ base: `https://localhost:${port}/firmware/`, connect, clock, ...more });
}

/** What a web server does with a range. */
const honest: RequestListener = (request, response) => {
  const [, from = '', to = ''] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
  if (request.url !== '/firmware/packs/x.pack') return void response.writeHead(404).end();
  if (from === '') return void response.end(FILE);
  const [first, last] = [Number(from), Math.min(Number(to), FILE.length - 1)];
  if (first >= FILE.length) return void response.writeHead(416).end();
  response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${FILE.length}` });
  response.end(FILE.subarray(first, last + 1));
};

async function part(repository: Awaited<ReturnType<typeof on>>, from: number, bytes: number): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of repository.part('packs/x.pack', from, bytes, GO_ON)) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** Answers a range with other words, or another body. */
const lying =
  (range: string, body: (response: ServerResponse) => void): RequestListener =>
  (_request, response) => {
    response.writeHead(206, { 'content-range': range });
    body(response);
  };

describe('a repository over HTTPS', () => {
  it('gets files and parts of them, on one connection', async () => {
    const connections = new Set<unknown>();
    const repository = await on((request, response) => {
      connections.add(request.socket);
      honest(request, response);
    });
    expect(FILE.equals((await repository.get('packs/x.pack', FILE.length, GO_ON)) ?? Buffer.of())).toBe(true);
    expect(await repository.get('none.json', 10, GO_ON)).toBeNull();
    expect(FILE.subarray(0, 100_000).equals(await part(repository, 0, 100_000))).toBe(true);
    expect(await part(repository, 299_000, 5_000)).toEqual(FILE.subarray(299_000));
    expect(await part(repository, 300_000, 5_000)).toEqual(Buffer.alloc(0));
    expect(await part(repository, 7, 0)).toEqual(Buffer.alloc(0));
    expect(connections.size).toBeLessThanOrEqual(3);
  });

  it('keeps nothing waiting behind an answer that nobody reads, on a server that ends no connection', async () => {
    const refuse = (status: number, text: string) =>
      on(
        (request, response) => {
          if (request.url === '/firmware/packs/x.pack') response.writeHead(status).end(text);
          else response.end('next');
        },
        { answerWithinMs: 2_000 },
      );
    for (const [status, text] of [
      [404, ''],
      [404, '{"code":"not_found"}'],
      [416, ''],
      [500, ''],
      [200, 'short'],
    ] as const) {
      const repository = await refuse(status, text);
      await part(repository, 1, 2).catch(() => {});
      expect(await repository.get('next', 10, GO_ON)).toEqual(Buffer.from('next'));
    }
  });

  it('cuts the part out of what a server sends that knows no ranges', async () => {
    const repository = await on((_request, response) => void response.end(FILE));
    expect(await part(repository, 100_000, 1_000)).toEqual(FILE.subarray(100_000, 101_000));
  });

  it.each<[string, string, RequestListener]>([
    ['another part', 'fetch_refused', lying('bytes 0-99/300000', (response) => response.end(FILE.subarray(0, 100)))],
    ['a part of no file', 'fetch_refused', lying('nonsense', (response) => response.end(FILE.subarray(10, 110)))],
    [
      'less without an end of the file',
      'fetch_refused',
      lying('bytes 10-50/300000', (response) => response.end(FILE.subarray(10, 51))),
    ],
    [
      'less than it says',
      'fetch_failed',
      lying('bytes 10-109/300000', (response) => response.end(FILE.subarray(10, 60))),
    ],
    ['more than it says', 'fetch_too_large', lying('bytes 10-109/300000', (response) => response.end(FILE))],
    [
      'a cut connection',
      'fetch_failed',
      lying('bytes 10-109/300000', (response) => {
        response.write(FILE.subarray(10, 60), () => response.destroy());
      }),
    ],
    ['an error', 'fetch_refused', (_request, response) => void response.writeHead(500).end()],
    ['a redirect', 'fetch_refused', (_request, response) => void response.writeHead(302, { location: '/x' }).end()],
    ['nothing there', 'fetch_missing', (_request, response) => void response.writeHead(404).end()],
  ])('refuses %s', async (_what, code, listener) => {
    expect(await codeThrown(part(await on(listener), 10, 100))).toBe(code);
  });

  it('ends data without an end', async () => {
    const endless: RequestListener = (_request, response) => {
      const more = (): void => void (response.destroyed || response.write(FILE, more));
      more();
    };
    const repository = await on(endless);
    expect(await codeThrown(repository.get('metadata/timestamp.json', 16_384, GO_ON))).toBe('fetch_too_large');
  });

  it('ends what comes too slowly, and what does not begin; what the reader takes itself does not count', async () => {
    const slow: RequestListener = (_request, response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.on('close', () => clearInterval(drip));
    };
    const pace = { bytes: 1_000, withinMs: 400 };
    expect(await codeThrown((await on(slow, { pace })).get('a', 10_000, GO_ON))).toBe('fetch_too_slow');
    const never = await on(() => {}, { answerWithinMs: 300 });
    expect(await codeThrown(never.get('a', 10, GO_ON))).toBe('fetch_too_slow');
    const repository = await on(honest, { pace: { bytes: 100_000, withinMs: 300 } });
    let bytes = 0;
    for await (const piece of repository.part('packs/x.pack', 0, 300_000, GO_ON)) {
      bytes += piece.length;
      await clock.sleep(100);
    }
    expect(bytes).toBe(300_000);
  });

  it('is asked nothing before it has proved who it is', async () => {
    let asked = 0;
    const listener: RequestListener = (_request, response) => {
      asked += 1;
      response.end();
    };
    const stranger = await makeAuthority();
    const time = { earliest: wallMs(Date.now()), latest: null };
    const trusting = (authorities: Uint8Array[]) => ({ authorities, fingerprint: null, time });
    const good = await on(listener);
    await good.get('a', 10, GO_ON);
    const server = createServer({ key: own.keyPem, cert: own.pem }, listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    closers.push(() => server.close());
    const { port } = server.address() as AddressInfo;
    const connect = () => connectTls({ host: 'localhost', port }, trusting([stranger.der]), null, clock);
    const repository = createRepository({ base: `https://localhost:${port}/`, connect, clock });
    expect(await codeThrown(repository.get('a', 10, GO_ON))).toBe('certificate_untrusted');
    expect(asked).toBe(1);
  });

  it('lets go when it is told to', async () => {
    const repository = await on(() => {});
    const stop = new AbortController();
    const getting = codeThrown(repository.get('a', 10, stop.signal));
    stop.abort();
    expect(await getting).not.toBeNull();
  });
});

it('a repository over plain HTTP is read as well', async () => {
  const server = createHttp(honest).listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const repository = createRepository({ base: `http://127.0.0.1:${port}/firmware/`, connect: null, clock });
  expect(await part(repository, 5, 10)).toEqual(FILE.subarray(5, 15));
});
