import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeAuthority, makeCertificate } from '../../harness/certificates.ts';
import { harmless, HostileKiosk } from '../../harness/hostile/kiosk.ts';
import type { Attack } from '../../harness/hostile/repository-server.ts';

let kiosk: HostileKiosk;
beforeAll(async () => {
  kiosk = await HostileKiosk.start();
});
afterAll(() => kiosk.remove());

/** Paths of a repository. */
const TIMESTAMP = /timestamp\.json$/;
const ROOT = /root\.json$/;
const SNAPSHOT = /snapshot\.json$/;
const TARGETS = /^metadata\/.*targets\.json$/;
const MANIFEST = /^targets\//;
const PACK = /^packs\//;
const ALL = /./;

const on =
  (paths: RegExp, answer: (response: ServerResponse, path: string, range: string) => void): Attack =>
  (path, response, { headers }) => {
    if (!paths.test(path)) return false;
    answer(response, path, headers.range ?? '');
    return true;
  };

/** What went out so far without an end. */
let sentBytes = 0;
/** Beyond what targets may have: what lies in buffers on the way. */
const MOST_BYTES = 16_000_000;

/** Sends for as long as somebody reads. */
function withoutEnd(response: ServerResponse): void {
  const chunk = Buffer.alloc(65_536, 32);
  const more = (): void => {
    do sentBytes += chunk.length;
    while (!response.destroyed && response.write(chunk));
    response.once('drain', more);
  };
  more();
}

/** The range that was asked for, in words of RFC 9110. */
const said = (range: string): string => `bytes ${range.replace('bytes=', '')}/999999999`;

const raw = (response: ServerResponse, text: string): void => void response.socket?.write(text);

const ENDLESS: readonly (readonly [string, RegExp, string])[] = [
  ['a root', ROOT, 'fetch_too_large'],
  ['a timestamp', TIMESTAMP, 'fetch_too_large'],
  ['a snapshot', SNAPSHOT, 'fetch_too_large'],
  ['targets', TARGETS, 'fetch_too_large'],
  ['a manifest', MANIFEST, 'fetch_too_large'],
];

const LIES: readonly (readonly [string, Attack, string])[] = [
  [
    'a part of a pack without an end',
    on(PACK, (response, _, range) => {
      response.writeHead(206, { 'content-range': said(range) });
      withoutEnd(response);
    }),
    'fetch_too_large',
  ],
  ['a pack without an end in place of a part', on(PACK, withoutEnd), 'bundle_malformed'],
  [
    'another part than was asked for',
    on(PACK, (response) => response.writeHead(206, { 'content-range': 'bytes 7-9/12' }).end('abc')),
    'fetch_refused',
  ],
  [
    'a length of 10 GB, and as many bytes as somebody reads',
    on(TIMESTAMP, (response) => {
      response.writeHead(200, { 'content-length': 10_000_000_000 });
      withoutEnd(response);
    }),
    'fetch_too_large',
  ],
  [
    'a greater length than what comes',
    on(TIMESTAMP, (response) => {
      response.writeHead(200, { 'content-length': 4_000 });
      response.write('{');
      setTimeout(() => response.destroy(), 50);
    }),
    'fetch_failed',
  ],
  [
    'a smaller length than what comes, and in the rest an answer to the next question',
    on(TIMESTAMP, (response) => raw(response, 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n')),
    'tuf_malformed',
  ],
  [
    'headers without an end',
    on(TIMESTAMP, (response) => raw(response, `HTTP/1.1 200 OK\r\n${'x-more: and more\r\n'.repeat(100_000)}`)),
    'fetch_failed',
  ],
  [
    'packed metadata, 10 MB once unpacked',
    on(TIMESTAMP, (response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(10_000_000, 32))),
    ),
    'tuf_malformed',
  ],
  [
    'packed metadata, 40 MB once unpacked',
    on(TIMESTAMP, (response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(Buffer.alloc(40_000_000, 32))),
    ),
    'fetch_too_large',
  ],
  ['nothing but 404', on(ALL, (response) => response.writeHead(404).end()), 'tuf_missing'],
  ['nothing but 500', on(ALL, (response) => response.writeHead(500).end('broken')), 'fetch_refused'],
  [
    'part of a file where all of it was asked for',
    on(TIMESTAMP, (response) => response.writeHead(206).end('{}')),
    'fetch_refused',
  ],
  ['no more packs', on(PACK, (response) => response.writeHead(404).end()), 'fetch_missing'],
  ['a page that says that all is well', on(ALL, (response) => response.end('<html>It works!</html>')), 'tuf_malformed'],
  ['connections that break off', on(ALL, (response) => response.socket?.destroy()), 'fetch_failed'],
  ['what is no HTTP', on(ALL, (response) => raw(response, 'SSH-2.0-OpenSSH_9.2\r\n')), 'fetch_failed'],
];

describe('a kiosk that updates itself from a server that sends', () => {
  it.each(ENDLESS)('%s without an end fetches no more than that may have', async (_, paths, code) => {
    const release = kiosk.publish();
    sentBytes = 0;
    kiosk.cloud.server.attack = on(paths, withoutEnd);
    expect(await kiosk.attacked(release)).toEqual(harmless(code));
    expect(sentBytes).toBeGreaterThan(0);
    expect(sentBytes).toBeLessThan(MOST_BYTES);
    await kiosk.recovers(release);
  });

  it.each(LIES)('%s installs nothing, and goes on when it is honest again', async (_, attack, code) => {
    const release = kiosk.publish();
    kiosk.cloud.server.attack = attack;
    expect(await kiosk.attacked(release)).toEqual(harmless(code));
    expect(kiosk.cloud.server.deeds).toBeGreaterThan(0);
    await kiosk.recovers(release);
  });
});

describe('a kiosk whose server', () => {
  it('sends it elsewhere asks nobody there', async () => {
    const visitors: unknown[] = [];
    const elsewhere = createServer((request, response) => {
      visitors.push(request.url);
      response.end('{}');
    }).listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const { port } = elsewhere.address() as AddressInfo;
    const release = kiosk.publish();
    for (const status of [301, 302, 307, 308]) {
      const location = `http://127.0.0.1:${port}/metadata/timestamp.json`;
      kiosk.cloud.server.attack = on(ALL, (response) => response.writeHead(status, { location }).end());
      expect(await kiosk.attacked(release)).toEqual(harmless('fetch_refused'));
    }
    await kiosk.recovers(release);
    elsewhere.close();
    expect(visitors).toEqual([]);
  });

  it('shows the certificate of another authority asks it nothing', async () => {
    const { cloud } = kiosk;
    const release = kiosk.publish();
    const stranger = await makeAuthority();
    cloud.enrolment.show(await makeCertificate({ issuer: stranger }));
    const before = cloud.server.requests;
    expect(await kiosk.attacked(release)).toEqual(harmless('certificate_untrusted'));
    expect(cloud.server.requests).toBe(before);
    cloud.enrolment.show(cloud.enrolment.own);
    await kiosk.recovers(release);
  });
});
