import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer, type TlsOptions } from 'node:tls';
import { connectTls, type TlsError } from '@paddock/agent/adapters/tls.ts';
import type { ServerTrust } from '@paddock/agent/ports.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { FakeClock } from '../../harness/agent/fake-clock.ts';
import {
  CLIENT_AUTH,
  makeAuthority,
  makeCertificate,
  RSA_1024,
  type CertificateWish,
  type TestCertificate,
} from '../../harness/certificates.ts';

const DAY_MS = 86_400_000;
const [past, soon] = [Date.now() - 30 * DAY_MS, Date.now() + 30 * DAY_MS];
const now = { earliest: wallMs(Date.now() - 50), latest: wallMs(Date.now() + 60_000) };
const closers: (() => void)[] = [];
let [authority, stranger]: TestCertificate[] = [];

beforeAll(async () => {
  authority = await makeAuthority();
  stranger = await makeAuthority();
});
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

const ours = (): TestCertificate => authority ?? expect.unreachable();
const theirs = (): TestCertificate => stranger ?? expect.unreachable();
const trust = (change: Partial<ServerTrust> = {}): ServerTrust => ({
  authorities: [ours().der],
  fingerprint: null,
  time: now,
  ...change,
});

interface Listening {
  readonly port: number;
  /** Application bytes that the server got. */
  readonly heard: () => number;
}

async function serve(
  own: TestCertificate,
  behind: readonly TestCertificate[],
  more: TlsOptions = {},
): Promise<Listening> {
  const cert = [own, ...behind].map(({ pem }) => pem).join('');
  let heard = 0;
  const server = createServer({ key: own.keyPem, cert, ...more }, (socket) => {
    socket.on('data', (chunk) => void (heard += chunk.length));
    socket.on('error', () => {});
  });
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return { port: (server.address() as AddressInfo).port, heard: () => heard };
}

async function verdict(
  { port, heard }: Listening,
  believed: ServerTrust,
  { host = '127.0.0.1', clock = new FakeClock() } = {},
): Promise<string> {
  const verdictOf = connectTls({ host, port }, believed, null, clock).then(
    (socket) => {
      socket.destroy();
      return 'right';
    },
    (cause: TlsError) => cause.code,
  );
  const said = await verdictOf;
  expect(heard()).toBe(0);
  return said;
}

/** A server of our authority, but for what a test wishes otherwise. */
const wished = async (wish: CertificateWish): Promise<Listening> =>
  serve(await makeCertificate({ issuer: ours(), ...wish }), [ours()]);

describe('a server is believed', () => {
  it('for its certificate by an authority that is known', async () => {
    const listening = await serve(await makeCertificate({ issuer: ours() }), []);
    expect(await verdict(listening, trust())).toBe('right');
    expect(await verdict(listening, trust(), { host: 'localhost' })).toBe('right');
  });

  it('for its certificate by an authority that it brings along and whose fingerprint is pinned', async () => {
    const pinned = trust({ authorities: [], fingerprint: ours().fingerprint });
    expect(await verdict(await wished({}), pinned)).toBe('right');
    expect(await verdict(await serve(await makeCertificate({ issuer: ours() }), []), pinned)).toBe(
      'certificate_untrusted',
    );
  });

  it('by way of another authority, whatever the order they come in', async () => {
    const between = await makeAuthority({ issuer: ours(), name: 'Between' });
    const leaf = await makeCertificate({ issuer: between });
    expect(await verdict(await serve(leaf, [between]), trust())).toBe('right');
    expect(await verdict(await serve(leaf, [theirs(), between]), trust())).toBe('right');
  });

  it.each([
    ['1970', 0],
    ['2035', Date.UTC(2035, 0, 1)],
  ])('whatever the clock of the device says: %s', async (_year, wall) => {
    const clock = new FakeClock();
    clock.setWall(wall);
    expect(await verdict(await wished({}), trust(), { clock })).toBe('right');
    expect(await verdict(await wished({}), trust({ time: null }), { clock })).toBe('right');
    expect(await verdict(await wished({ notBefore: past, notAfter: past + 1 }), trust(), { clock })).toBe(
      'certificate_expired',
    );
  });
});

describe('a server is refused', () => {
  it.each<[string, CertificateWish]>([
    ['certificate_name', { names: [{ type: 'dns', value: 'example.org' }] }],
    ['certificate_name', { name: '127.0.0.1', names: [{ type: 'ip', value: '127.0.0.2' }] }],
    ['certificate_expired', { notBefore: past, notAfter: past + DAY_MS }],
    ['certificate_not_yet_valid', { notBefore: soon, notAfter: soon + DAY_MS }],
    ['certificate_use', { use: [CLIENT_AUTH] }],
    ['certificate_use', { use: [] }],
    ['certificate_malformed', { strange: true }],
  ])('with %s', async (code, wish) => {
    expect(await verdict(await wished(wish), trust())).toBe(code);
  });

  it('for the authority before its date, when neither is right', async () => {
    const expired = { notBefore: past, notAfter: past + DAY_MS };
    for (const issuer of [theirs(), undefined]) {
      const leaf = await makeCertificate({ ...expired, ...(issuer && { issuer }) });
      const listening = await serve(leaf, issuer ? [issuer] : []);
      for (const time of [now, null])
        expect(await verdict(listening, trust({ time, fingerprint: ours().fingerprint }))).toBe(
          'certificate_untrusted',
        );
    }
  });

  it('by dates before the first exchange only for what has certainly expired', async () => {
    const floor = trust({ time: { earliest: wallMs(Date.now()), latest: null } });
    expect(await verdict(await wished({ notBefore: soon, notAfter: soon + DAY_MS }), floor)).toBe('right');
    expect(await verdict(await wished({ notBefore: past, notAfter: past + DAY_MS }), floor)).toBe(
      'certificate_expired',
    );
  });

  it('when it is of another authority, of the same name, and behind ours', async () => {
    const leaf = await makeCertificate({ issuer: theirs() });
    expect(await verdict(await serve(leaf, [theirs()]), trust())).toBe('certificate_untrusted');
    expect(await verdict(await serve(leaf, [ours()]), trust({ fingerprint: ours().fingerprint }))).toBe(
      'certificate_untrusted',
    );
  });

  it('when a leaf has signed its certificate', async () => {
    const leaf = await makeCertificate({ issuer: ours(), name: 'Leaf' });
    const below = await makeCertificate({ issuer: leaf });
    expect(await verdict(await serve(below, [leaf, ours()]), trust())).toBe('certificate_untrusted');
    expect(await verdict(await serve(below, [leaf]), trust({ authorities: [leaf.der] }))).toBe('certificate_untrusted');
  });

  it('when what has signed its certificate may sign, and is no authority', async () => {
    const between = await makeCertificate({ issuer: ours(), name: 'Between', signs: true });
    const below = await makeCertificate({ issuer: between });
    expect(await verdict(await serve(below, [between, ours()]), trust())).toBe('certificate_untrusted');
  });

  it('when there is an authority more than one of them allows', async () => {
    const top = await makeAuthority({ name: 'Top', pathLength: 0 });
    const between = await makeAuthority({ issuer: top, name: 'Between' });
    const listening = await serve(await makeCertificate({ issuer: between }), [between]);
    expect(await verdict(listening, trust({ authorities: [top.der] }))).toBe('certificate_untrusted');
    const direct = await serve(await makeCertificate({ issuer: top }), []);
    expect(await verdict(direct, trust({ authorities: [top.der] }))).toBe('right');
  });

  it('when its authority is not for servers', async () => {
    const between = await makeAuthority({ issuer: ours(), name: 'Between', use: [CLIENT_AUTH] });
    const listening = await serve(await makeCertificate({ issuer: between }), [between]);
    expect(await verdict(listening, trust())).toBe('certificate_use');
  });

  it('with a key that is too short', async () => {
    const leaf = await makeCertificate({ issuer: ours(), algorithm: RSA_1024 });
    const listening = await serve(leaf, [], { ciphers: 'DEFAULT@SECLEVEL=0' });
    expect(await verdict(listening, trust())).toMatch(/^(certificate_weak|tls_failed)$/);
  });

  it('with TLS before 1.2', async () => {
    const old: TlsOptions = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' };
    expect(await verdict(await serve(await makeCertificate({ issuer: ours() }), [], old), trust())).toBe('tls_failed');
  });
});
