import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { judgeGiven, type GivenTerms } from '@paddock/cloud/trust/given-certificate.ts';
import { wallMs } from '@paddock/shared/time.ts';
import {
  CLIENT_AUTH,
  makeAuthority,
  makeCertificate,
  RSA_1024,
  type CertificateWish,
  type TestCertificate,
} from '../../../harness/certificates.ts';

const NOW = wallMs(Date.now());
const DAY_MS = 86_400_000;

let root: TestCertificate;
let between: TestCertificate;
let leaf: TestCertificate;
beforeAll(async () => {
  root = await makeAuthority({ name: 'Root' });
  between = await makeAuthority({ name: 'Between', issuer: root, pathLength: 0 });
  leaf = await makeCertificate({ issuer: between });
});

const terms = (change: Partial<GivenTerms> = {}): GivenTerms => ({
  hosts: ['localhost', '127.0.0.1'],
  listed: [root.der],
  named: [],
  now: NOW,
  ...change,
});
const judge = (own = leaf, behind: readonly TestCertificate[] = [between], change: Partial<GivenTerms> = {}) =>
  judgeGiven({ key: own.keyPem, cert: [own, ...behind].map(({ pem }) => pem).join('') }, terms(change));
const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
};

describe('a server certificate from outside', () => {
  it('is shown with its chain up to the authority that devices believe', () => {
    const { identity, anchor, notAfter } = judge();
    const shown = identity.cert.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? [];
    expect(shown.map((pem) => new X509Certificate(pem).subject)).toEqual(['CN=Test', 'CN=Between', 'CN=Root']);
    expect([Buffer.from(anchor), notAfter]).toEqual([Buffer.from(root.der), leaf.certificate.notAfter.getTime()]);
  });

  it('may end at an authority between, when the list names that one', () => {
    expect(Buffer.from(judge(leaf, [between], { listed: [between.der] }).anchor)).toEqual(Buffer.from(between.der));
  });

  it('is found by another order, and among others', async () => {
    const stranger = await makeAuthority({ name: 'Stranger' });
    expect(judge(leaf, [stranger, root, between]).identity.cert).toBe(judge().identity.cert);
  });

  it.each<[code: string, what: string, change: Partial<GivenTerms>]>([
    ['server_certificate_hosts', 'a name that it lacks', { hosts: ['localhost', 'paddock.example'] }],
    ['server_certificate_hosts', 'an address that it lacks', { hosts: ['10.0.0.5'] }],
    ['server_certificate_untrusted', 'a list that names nobody of it', { listed: [] }],
    ['server_certificate_dates', 'a time after its end', { now: wallMs(NOW + 2 * DAY_MS) }],
    ['server_certificate_dates', 'a time before its beginning', { now: wallMs(NOW - 2 * DAY_MS) }],
  ])('is refused as %s for %s', (code, _what, change) => {
    expect(codeOf(() => judge(leaf, [between], change))).toBe(code);
  });

  it('waits for the list when its authority is named to be on it', () => {
    expect(codeOf(() => judge(leaf, [between], { listed: [], named: [root.der] }))).toBe('server_certificate_unlisted');
  });

  it.each<[code: string, what: string, wish: CertificateWish]>([
    ['server_certificate_unfit', 'for clients', { use: [CLIENT_AUTH] }],
    ['server_certificate_unfit', 'with a weak key', { algorithm: RSA_1024 }],
    ['server_certificate_unfit', 'with something critical that nobody knows', { strange: true }],
  ])('is refused as %s when it is %s', async (code, _what, wish) => {
    const bad = await makeCertificate({ issuer: between, ...wish });
    expect(codeOf(() => judge(bad))).toBe(code);
  });

  it('is refused when its chain has a hole, or an authority below one that may have none', async () => {
    expect(codeOf(() => judge(leaf, []))).toBe('server_certificate_untrusted');
    const below = await makeAuthority({ name: 'Below', issuer: between });
    const deep = await makeCertificate({ issuer: below });
    expect(codeOf(() => judge(deep, [below, between]))).toBe('server_certificate_untrusted');
  });

  it('is refused without its own key, or when either cannot be read', async () => {
    const other = await makeCertificate();
    const { keyPem: key, pem: cert } = leaf;
    const judged = (pair: { key: string; cert: string }) => codeOf(() => judgeGiven(pair, terms()));
    expect(judged({ key: other.keyPem, cert })).toBe('server_certificate_mismatch');
    expect(judged({ key: 'no key', cert })).toBe('server_certificate_unreadable');
    expect(judged({ key, cert: '' })).toBe('server_certificate_unreadable');
    expect(judged({ key, cert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n' })).toBe(
      'server_certificate_unreadable',
    );
  });
});
