import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { newAuthorityCertificate, openAuthority, type Authority } from '@paddock/cloud/trust/authority.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { fromInstant, wallMs } from '@paddock/shared/time.ts';
import { newKey, openssl, requestOf, type KEYS } from '../../../harness/openssl.ts';

const NOW = fromInstant('2026-11-24T12:00:00.500Z');
const DAY_MS = 86_400_000;
const IDENTITY = 'an identity thumbprint';

let authority: Authority;
let tlsKey: string;
beforeAll(async () => {
  const key = newKey();
  authority = await openAuthority({ key, certificate: await newAuthorityCertificate(key, NOW) });
  tlsKey = newKey();
});

const issue = (csr: Uint8Array, deviceId = 'kiosk-0001') =>
  authority.issueDevice({ csr, deviceId, identityThumbprint: IDENTITY, now: NOW });
const pemOf = (der: Uint8Array | undefined): string => new X509Certificate(der ?? new Uint8Array()).toString();
const spkiOf = (key: string) => createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });

/** What openssl says of a chain for a use, at that moment; it throws when the chain is not good. */
const verified = (der: Uint8Array | undefined, purpose: string, at = NOW): string =>
  openssl(`verify -purpose ${purpose} -x509_strict -attime ${Math.floor(at / 1000)} -CAfile ca.pem leaf.pem`, {
    'ca.pem': authority.certificatePem,
    'leaf.pem': pemOf(der),
  });

describe('the authority', () => {
  test('is a certificate of 20 years that may issue, and no authorities', () => {
    const text = openssl('x509 -in ca.pem -noout -text', { 'ca.pem': authority.certificatePem });
    expect(text).toMatch(/CA:TRUE, pathlen:0/);
    expect(text).toMatch(/Certificate Sign, CRL Sign/);
    expect(text).toMatch(/Not After : Nov 24 12:00:00 2046 GMT/);
    const der = new X509Certificate(authority.certificatePem).raw;
    expect(authority.fingerprint).toBe(createHash('sha256').update(der).digest('base64url'));
    expect(Buffer.from(authority.certificateDer)).toEqual(der);
  });

  test.each(['p256', 'ed25519'] as const)(
    'gives a device with a %s key a certificate that is its own',
    async (kind) => {
      const key = newKey(kind);
      const issued = await issue(requestOf(key, '/CN=kiosk-9999/O=somebody'));
      const leaf = new X509Certificate(issued.chain[0] ?? '');
      expect(leaf.subject).toBe('CN=kiosk-0001');
      expect(leaf.subjectAltName).toBe('URI:urn:paddock:device:kiosk-0001');
      expect(leaf.ca).toBe(false);
      expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
      expect(verified(issued.chain[0], 'sslclient')).toMatch(/OK/);
      expect(() => verified(issued.chain[0], 'sslserver')).toThrow(/unsupported certificate purpose|unsuitable/);
      expect(issued.serial).toBe(leaf.serialNumber.toLowerCase());
      expect(issued.identityThumbprint).toBe(IDENTITY);
      expect(Buffer.from(issued.chain[1] ?? '')).toEqual(Buffer.from(authority.certificateDer));
    },
  );

  test('says exactly how long it is good, and to renew it after a third', async () => {
    const { chain, notBefore, notAfter, renewAfter } = await issue(requestOf(tlsKey));
    const leaf = new X509Certificate(chain[0] ?? '');
    expect([Date.parse(leaf.validFrom), Date.parse(leaf.validTo)]).toEqual([notBefore, notAfter]);
    expect(notAfter - NOW).toBe(30 * DAY_MS - 500);
    expect(renewAfter - NOW).toBe(Math.floor((notAfter - NOW) / 3));
    expect(() => verified(chain[0], 'sslclient', wallMs(notAfter + 1000))).toThrow(/expired/);
  });

  test('takes nothing that a request wishes: no names, no authority', async () => {
    const wishes = ' -addext basicConstraints=critical,CA:TRUE -addext subjectAltName=DNS:paddock.example';
    const { chain } = await issue(requestOf(tlsKey, '/CN=x', wishes));
    const leaf = new X509Certificate(chain[0] ?? '');
    expect([leaf.ca, leaf.subjectAltName]).toEqual([false, 'URI:urn:paddock:device:kiosk-0001']);
  });

  test('never gives two certificates one serial', async () => {
    const csr = requestOf(tlsKey);
    const serials = await Promise.all(Array.from({ length: 20 }, async () => (await issue(csr)).serial));
    expect(new Set(serials).size).toBe(20);
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9a-f]{31}$/);
  });

  test('gives servers their names and addresses, for servers only', async () => {
    const issued = await authority.issueServer({
      spki: spkiOf(tlsKey),
      hosts: ['localhost', '127.0.0.1', '::1'],
      now: NOW,
    });
    const leaf = new X509Certificate(issued.chain[0] ?? '');
    expect(leaf.checkHost('localhost')).toBe('localhost');
    expect([leaf.checkIP('127.0.0.1'), leaf.checkIP('::1')]).toEqual(['127.0.0.1', '::1']);
    expect(issued.notAfter - NOW).toBe(90 * DAY_MS - 500);
    expect(verified(issued.chain[0], 'sslserver')).toMatch(/OK/);
    expect(() => verified(issued.chain[0], 'sslclient')).toThrow(/unsupported certificate purpose|unsuitable/);
  });

  test('issues nothing that outlives it', async () => {
    const late = fromInstant('2046-11-20T00:00:00.000Z');
    const issued = await authority.issueServer({ spki: spkiOf(tlsKey), hosts: ['localhost'], now: late });
    expect(issued.notAfter).toBe(fromInstant('2046-11-24T12:00:00.000Z'));
  });

  test('lists what is revoked as openssl reads it', async () => {
    const [{ serial, chain }, good] = [await issue(requestOf(tlsKey)), await issue(requestOf(tlsKey))];
    const list = await authority.revocationList([{ serial, revokedAt: NOW }], NOW);
    const check = (der: Uint8Array | undefined) =>
      openssl(`verify -crl_check -attime ${Math.floor(NOW / 1000)} -CAfile ca.pem -CRLfile crl.pem leaf.pem`, {
        'ca.pem': authority.certificatePem,
        'crl.pem': list,
        'leaf.pem': pemOf(der),
      });
    expect(() => check(chain[0])).toThrow(/certificate revoked/);
    expect(check(good.chain[0])).toMatch(/OK/);
    const empty = await authority.revocationList([], NOW);
    expect(openssl('crl -in crl.pem -noout -text', { 'crl.pem': empty })).toMatch(/No Revoked Certificates/);
  });
});

describe('a certificate request', () => {
  const refusedAs = (code: string) => expect.objectContaining({ name: 'TrustError', code });

  test.each(['p384', 'rsa1024', 'rsa2048', 'p256explicit'] satisfies (keyof typeof KEYS)[])(
    'of a %s key is refused',
    async (kind) => {
      await expect(issue(requestOf(newKey(kind)))).rejects.toThrow(refusedAs('csr_key_unsupported'));
    },
  );

  test('of the identity key is refused', async () => {
    const jwk = createPublicKey(createPrivateKey(tlsKey)).export({ format: 'jwk' });
    const { thumbprint: identityThumbprint } = await importVerificationKey(jwk);
    const request = { csr: requestOf(tlsKey), deviceId: 'kiosk-0001', identityThumbprint, now: NOW };
    await expect(authority.issueDevice(request)).rejects.toThrow(refusedAs('csr_key_is_identity'));
  });

  test('that another key signed is refused, and so is one that was changed', async () => {
    const csr = Buffer.from(requestOf(tlsKey, '/CN=one-name'));
    const changed = Buffer.from(csr);
    changed.write('two', csr.indexOf('one-name'));
    await expect(issue(changed)).rejects.toThrow(refusedAs('csr_signature_invalid'));
    const swapped = Buffer.from(csr);
    const spki = spkiOf(newKey());
    swapped.set(spki, csr.indexOf(spki.subarray(0, 26)));
    await expect(issue(swapped)).rejects.toThrow(refusedAs('csr_signature_invalid'));
  });

  test.each([
    ['nothing', () => new Uint8Array()],
    ['noise', () => Buffer.alloc(300, 7)],
    ['text', () => Buffer.from('-----BEGIN CERTIFICATE REQUEST-----')],
    ['PEM in place of DER', () => Buffer.from(openssl('req -new -key k -subj /CN=x', { k: tlsKey }))],
    ['a certificate', () => authority.certificateDer],
    ['bytes behind it', () => Buffer.concat([requestOf(tlsKey), Buffer.of(0)])],
    ['a part of it', () => requestOf(tlsKey).subarray(0, 150)],
    ['too much', () => Buffer.concat([Buffer.of(0x30, 0x82, 0x27, 0x10), Buffer.alloc(10_000)])],
    ['sequences in sequences', () => nested(1_500)],
  ])('made of %s is refused', async (_what, make) => {
    await expect(issue(make())).rejects.toThrow(refusedAs('csr_malformed'));
  });
});

/** Valid DER, all of it nesting. */
function nested(depth: number): Uint8Array {
  let der = Buffer.alloc(0);
  for (let n = 0; n < depth; n++) {
    const size = der.length;
    const header = size < 128 ? [0x30, size] : size < 256 ? [0x30, 0x81, size] : [0x30, 0x82, size >> 8, size & 255];
    der = Buffer.concat([Buffer.of(...header), der]);
  }
  return der;
}

describe('an authority that is given', () => {
  const selfSigned = (key: string, more: string): string =>
    openssl(`req -x509 -new -key key.pem -subj /CN=Given -days 30 ${more}`, { 'key.pem': key });
  const AS_AUTHORITY = '-addext basicConstraints=critical,CA:TRUE';
  const open = (key: string, certificate: string) => openAuthority({ key, certificate });

  test.each(['p256', 'p384', 'rsa2048'] as const)('with a %s key issues certificates', async (kind) => {
    const key = newKey(kind);
    const given = await open(key, selfSigned(key, '-addext keyUsage=critical,keyCertSign,cRLSign'));
    const now = wallMs(Date.now());
    const request = { csr: requestOf(tlsKey), deviceId: 'kiosk-0001', identityThumbprint: IDENTITY, now };
    const { chain } = await given.issueDevice(request);
    const files = { 'ca.pem': given.certificatePem, 'leaf.pem': pemOf(chain[0]) };
    expect(openssl('verify -purpose sslclient -CAfile ca.pem leaf.pem', files)).toMatch(/OK/);
  });

  test('issues nothing that would hardly live, because it ends itself', async () => {
    const key = newKey();
    const given = await open(key, selfSigned(key, AS_AUTHORITY));
    const request = { csr: requestOf(tlsKey), deviceId: 'kiosk-0001', identityThumbprint: IDENTITY };
    const lately = wallMs(given.notAfter - 2 * 3_600_000);
    expect(await given.issueDevice({ ...request, now: lately })).toMatchObject({ notAfter: given.notAfter });
    for (const now of [wallMs(given.notAfter - 60_000), wallMs(given.notAfter + DAY_MS)]) {
      await expect(given.issueDevice({ ...request, now })).rejects.toMatchObject({ code: 'ca_unfit' });
      const server = { spki: spkiOf(tlsKey), hosts: ['localhost'], now };
      await expect(given.issueServer(server)).rejects.toMatchObject({ code: 'ca_unfit' });
    }
  });

  test('is refused with a certificate of another key', async () => {
    await expect(open(newKey(), selfSigned(tlsKey, AS_AUTHORITY))).rejects.toMatchObject({ code: 'ca_mismatch' });
  });

  test('is refused when it may not issue', async () => {
    const leaf = openssl('req -x509 -new -key key.pem -subj /CN=x -addext basicConstraints=critical,CA:FALSE', {
      'key.pem': tlsKey,
    }).trim();
    await expect(open(tlsKey, leaf)).rejects.toMatchObject({ code: 'ca_unfit' });
  });

  test.each([
    ['ca_key_unsupported', () => newKey('rsa1024')],
    ['ca_key_unsupported', () => newKey('ed25519')],
    ['ca_unreadable', () => 'no key'],
  ])('is refused as %s for its key', async (code, key) => {
    await expect(open(key(), selfSigned(tlsKey, AS_AUTHORITY))).rejects.toMatchObject({ code });
  });

  test('is refused when its certificate is none', async () => {
    await expect(open(tlsKey, 'no certificate')).rejects.toMatchObject({ code: 'ca_unreadable' });
  });
});
