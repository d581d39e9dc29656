import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { seal } from '@paddock/shared/envelope.ts';
import type { Audit, AuditEntry } from '@paddock/cloud/ports.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { makeCsr } from '../../../harness/csr.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let server: EnrolServer;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

const send = async (body: string, type?: string) => {
  const { status, code } = await server.call('POST', '/enrol/v1/requests', body, type);
  return [status, code];
};
/** A request that is good but for what is changed in it, and the key that signs it. */
async function sealed(change: object, options: { kind?: 'report'; kid?: string } = {}): Promise<string> {
  const key = await makeTestKey();
  const payload = { v: 1, jwk: key.publicJwk, nonce: await server.nonce(), csr: makeCsr().csr, ...change };
  return seal(options.kind ?? 'enrolment', payload, { ...key.signing, keyId: options.kid ?? key.signing.keyId });
}

describe('the audit log', () => {
  /** One that is written when a test says so. */
  const heldUp = () => {
    const { promise: written, resolve: write } = Promise.withResolvers<void>();
    const entries: AuditEntry[] = [];
    const audit: Audit = { add: (entry) => (entries.push(entry), written) };
    return { audit, entries, write };
  };

  test('is written before what was done is answered, and holds nobody up for long', async () => {
    const { audit, entries, write } = heldUp();
    const slow = await startEnrolment(database.store, { audit }, new CloudClock(Date.now()));
    const [first, second] = [await makeTestKey(), await makeTestKey()];
    const answered: string[] = [];
    const asked = slow.enrol(first).then(({ status }) => answered.push(status));
    await expect.poll(() => entries.length).toBe(1);
    // It would have been answered by now: another question came and went meanwhile.
    await slow.nonce();
    expect([entries[0]?.action, answered]).toEqual(['askToEnrol', []]);
    write();
    await asked;
    expect(answered).toEqual(['pending']);

    const away = heldUp();
    const clock = new CloudClock(Date.now());
    const without = await startEnrolment(database.store, { audit: away.audit }, clock);
    const patient = without.enrol(second).then(({ status }) => answered.push(status));
    await expect.poll(() => away.entries.length).toBe(1);
    clock.advance(1_999);
    await without.nonce();
    expect(answered).toHaveLength(1);
    clock.advance(1);
    await patient;
    expect(answered).toHaveLength(2);
    await Promise.all([slow.close(), without.close()]);
  });
});

describe('a request is refused with its code', () => {
  type Case = readonly [string, () => Promise<string>, number, string];
  const cases: readonly Case[] = [
    ['that is no envelope', async () => 'hello', 400, 'envelope_malformed'],
    ['in base64url that is not canonical', async () => `${await sealed({})}=`, 400, 'envelope_not_canonical'],
    ['of another kind', async () => sealed({}, { kind: 'report' }), 400, 'typ_mismatch'],
    ['whose kid is not that of its key', async () => sealed({}, { kid: 'AAAAAAAAAAAA' }), 400, 'header_invalid'],
    ['without a key', async () => sealed({ jwk: undefined }), 400, 'key_unsupported'],
    [
      'with a weak kind of key',
      async () => sealed({ jwk: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } }),
      400,
      'key_unsupported',
    ],
    [
      'with a P-384 key',
      async () => sealed({ jwk: { kty: 'EC', crv: 'P-384', x: 'AA', y: 'AA' } }),
      400,
      'key_unsupported',
    ],
    [
      'with a point that is not on the curve',
      async () => sealed({ jwk: { kty: 'EC', crv: 'P-256', x: 'A'.repeat(43), y: 'A'.repeat(43) } }),
      400,
      'key_unsupported',
    ],
    ['of a version to come', async () => sealed({ v: 2 }), 400, 'version_unsupported'],
    ['without a nonce', async () => sealed({ nonce: undefined }), 400, 'payload_invalid'],
    ['without a certificate request', async () => sealed({ csr: undefined }), 400, 'payload_invalid'],
    ['from a device id with a wildcard', async () => sealed({ device: 'kiosk-+' }), 400, 'payload_invalid'],
    ['from a device id with a slash', async () => sealed({ device: 'kiosk/1' }), 400, 'payload_invalid'],
    ['from a device id with a look-alike', async () => sealed({ device: 'kіosk-0001' }), 400, 'payload_invalid'],
    ['from a device id with a control character', async () => sealed({ device: 'kiosk\n-1' }), 400, 'payload_invalid'],
    ['with a serial number that is none', async () => sealed({ serialNumber: ' SN#1' }), 400, 'payload_invalid'],
    [
      'with too many facts',
      async () => sealed({ facts: Object.fromEntries(Array.from({ length: 17 }, (_, n) => [`f${n}`, 'x'])) }),
      400,
      'payload_invalid',
    ],
    ['with U+0000 in a fact', async () => sealed({ facts: { board: 'a\0b' } }), 400, 'payload_malformed'],
  ];
  test.each(cases)('%s', async (_, make, status, code) => {
    expect(await send(await make())).toEqual([status, code]);
    expect(server.audit.entries.at(-1)).toMatchObject({ action: 'enrol', result: 'refused', code, actor: 'unknown' });
  });

  test('signed by another key than it names', async () => {
    const [key, other] = [await makeTestKey(), await makeTestKey()];
    const payload = { v: 1, jwk: key.publicJwk, nonce: await server.nonce(), csr: makeCsr().csr };
    const forged = await seal('enrolment', payload, { ...other.signing, keyId: key.signing.keyId });
    expect(await send(forged)).toEqual([400, 'signature_invalid']);
  });

  test('with content that was changed after it was signed', async () => {
    const [head, payload = '', signature] = (await sealed({ serialNumber: 'SN-1' })).split('.');
    const said = Buffer.from(payload, 'base64url').toString().replace('SN-1', 'SN-2');
    expect(await send([head, Buffer.from(said).toString('base64url'), signature].join('.'))).toEqual([
      400,
      'signature_invalid',
    ]);
  });

  test('that is larger than any may be, or of another type', async () => {
    expect(await send('a'.repeat(70_000))).toEqual([413, 'body_too_large']);
    expect(await send('{}', 'application/json')).toEqual([415, 'media_type_unsupported']);
  });

  test('and its nonce is not used up by a signature that is wrong', async () => {
    const [key, other] = [await makeTestKey(), await makeTestKey()];
    const nonce = await server.nonce();
    const payload = { v: 1, jwk: key.publicJwk, nonce, csr: makeCsr().csr };
    await send(await seal('enrolment', payload, { ...other.signing, keyId: key.signing.keyId }));
    expect((await server.ask(key, { nonce })).status).toBe(200);
  });
});

test('a service without an address that devices could report to lets nobody in, and spends no claim', async () => {
  let mqttUrl: string | null = null;
  const lacking = await startEnrolment(database.store, { mqttUrl: () => mqttUrl });
  const { mint } = await addTestBatch(database.store, 'for-nowhere');
  const [key, claim] = [await makeTestKey(), await mintClaim(mint, 'NO-1')];
  const refused = await lacking.ask(key, { claim });
  expect([refused.status, refused.code]).toEqual([503, 'report_url_missing']);
  mqttUrl = 'mqtts://localhost:8883';
  expect(await lacking.enrol(key, { claim })).toMatchObject({ status: 'accepted', mqttUrl });
  await lacking.close();
});

describe('the server that devices come to', () => {
  test('gives the lists of keys and the certificate of the authority, and nothing else', async () => {
    expect((await server.call('GET', '/enrol/v1/keys')).text).toBe('a.key.list');
    expect((await server.call('GET', '/enrol/v1/keys/1')).text).toBe('a.key.list');
    expect((await server.call('GET', '/enrol/v1/keys/2')).code).toBe('not_found');
    expect((await server.call('GET', '/enrol/v1/keys/x')).code).toBe('request_invalid');
    expect((await server.call('GET', '/enrol/v1/ca')).text).toBe(server.authority.certificatePem);
    for (const path of ['/api/v1/devices', '/metrics', '/docs', '/'])
      expect((await server.call('GET', path)).status).toBe(404);
  });

  test('speaks TLS 1.2 and newer only', async () => {
    const { port } = new URL(server.url);
    const speaks = (version: 'TLSv1.1' | 'TLSv1.2') => handshake(Number(port), version);
    expect(await speaks('TLSv1.2')).toBe('TLSv1.2');
    expect(await speaks('TLSv1.1')).toMatch(/^refused: ERR_SSL_/);
  });
});

/** @returns the version that was agreed on, or why there was none */
const handshake = (port: number, maxVersion: 'TLSv1.1' | 'TLSv1.2'): Promise<string> =>
  new Promise((resolve) => {
    const ciphers = 'DEFAULT@SECLEVEL=0';
    const socket = connect({ port, rejectUnauthorized: false, minVersion: 'TLSv1', maxVersion, ciphers });
    socket.on('error', (error) => resolve(`refused: ${'code' in error ? String(error.code) : ''}`));
    socket.on('secureConnect', () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
  });
