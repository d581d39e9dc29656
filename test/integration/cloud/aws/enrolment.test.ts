import { createPrivateKey, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { revokeAllCertificates } from '@paddock/cloud/enrolment/credentials.ts';
import { startAwsBench, type AwsBench } from '../../../harness/aws/bench.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeCsr } from '../../../harness/csr.ts';
import { newKey, requestOf } from '../../../harness/openssl.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let bench: AwsBench;
let server: EnrolServer;
beforeAll(async () => {
  database = await freshDatabase();
  bench = await startAwsBench(database.store);
  server = await startEnrolment(database.store, { transport: await bench.service() });
});
beforeEach(() => {
  bench.fake.trouble = () => null;
});
afterAll(async () => {
  await server.close();
  await bench.close();
  await database.drop();
});

test('a device that enrols by claim is sent to AWS IoT, with the certificate that it issued', async () => {
  const { mint } = await addTestBatch(database.store, 'aws-1');
  const [key, claim, { csr }] = [await makeTestKey(), await mintClaim(mint, 'SN-0001'), makeCsr()];
  const enrolled = await server.enrol(key, { serialNumber: 'SN-0001', claim, csr });
  expect(enrolled).toMatchObject({
    status: 'accepted',
    mqttUrl: 'mqtts://a1b2c3-ats.iot.eu-test-1.amazonaws.com:8883',
  });
  const [made] = bench.certificates();
  expect(made).toMatchObject({ status: 'ACTIVE', things: new Set([enrolled.device]) });
  expect(enrolled.certificate?.chain).toEqual([Buffer.from(derOf(made?.pem ?? '')).toString('base64url')]);
  // Nothing of ours was issued besides.
  expect(await database.store.query('SELECT FROM certificates')).toEqual([]);
  const again = await server.enrol(key, { csr, device: enrolled.device ?? '' });
  expect(again.certificate).toEqual(enrolled.certificate);
});

test('one that AWS fails is told to come again, and its claim is not lost', async () => {
  const { mint } = await addTestBatch(database.store, 'aws-2');
  const [key, claim, { csr }] = [await makeTestKey(), await mintClaim(mint, 'SN-0002'), makeCsr()];
  bench.fake.trouble = (_, action) => (action === 'AttachPolicy' ? 'error' : null);
  const asked = { serialNumber: 'SN-0002', claim, csr };
  expect(await server.ask(key, asked)).toMatchObject({ status: 503, code: 'aws_failed' });
  expect(server.audit.entries.at(-1)).toMatchObject({ action: 'enrol', result: 'failed', code: 'aws_failed' });
  bench.fake.trouble = () => null;
  const enrolled = await server.enrol(key, asked);
  expect(enrolled.status).toBe('accepted');
  const own = bench.certificates().filter(({ things }) => things.has(enrolled.device ?? ''));
  expect(own.map(({ status }) => status)).toEqual(['ACTIVE']);
});

test.each([
  ['csr_key_is_identity', 'aws-3', requestOfIdentity],
  ['csr_key_unsupported', 'aws-4', () => Buffer.from(requestOf(newKey('ed25519'))).toString('base64url')],
] as const)('a TLS key with %s is refused before anything is made, or a claim used', async (code, batch, csrOf) => {
  const { mint } = await addTestBatch(database.store, batch);
  const [key, claim] = [await makeTestKey(), await mintClaim(mint, `SN-${batch}`)];
  const csr = csrOf(key);
  bench.fake.calls.length = 0;
  expect(await server.ask(key, { claim, csr })).toMatchObject({ status: 400, code });
  expect(bench.fake.calls).toEqual([]);
  expect(await database.store.query('SELECT FROM used_claims WHERE batch_id = $1', [batch])).toEqual([]);
  expect((await server.enrol(key, { claim })).status).toBe('accepted');
});

function requestOfIdentity({ privateJwk }: TestKey): string {
  const privateKey = createPrivateKey({ key: privateJwk, format: 'jwk' });
  return makeCsr({ publicKey: createPublicKey(privateKey), privateKey }).csr;
}

test('what let the device in stands in the audit log whether or not AWS makes its certificate, which is told by itself', async () => {
  const { mint } = await addTestBatch(database.store, 'aws-5');
  const [key, claim, { csr }] = [await makeTestKey(), await mintClaim(mint, 'SN-0005'), makeCsr()];
  server.audit.entries.length = 0;
  bench.fake.trouble = (_, action) => (action === 'CreateThing' ? 'denied' : null);
  await server.ask(key, { serialNumber: 'SN-0005', claim, csr });
  const told = () => server.audit.entries.map(({ actor, action, result }) => ({ actor, action, result }));
  const enrolled = { actor: 'factory:aws-5', action: 'enrol', result: 'done' };
  expect(told()).toEqual([enrolled, { actor: 'unknown', action: 'enrol', result: 'failed' }]);
  bench.fake.trouble = () => null;
  server.audit.entries.length = 0;
  const { device } = await server.enrol(key, { serialNumber: 'SN-0005', claim, csr });
  const detail = { fingerprint: key.verification.thumbprint, certificate: expect.stringMatching(/^[0-9a-f]+$/) };
  expect(server.audit.entries).toMatchObject([
    { actor: `device:${device}`, action: 'renewCertificate', result: 'done', deviceId: device, detail },
  ]);

  const other = await mintClaim(mint, 'SN-0006');
  server.audit.entries.length = 0;
  const { device: second } = await server.enrol(await makeTestKey(), { serialNumber: 'SN-0006', claim: other });
  expect(told()).toEqual([enrolled, { actor: `device:${second}`, action: 'issueCertificate', result: 'done' }]);
});

test('a TLS key that was taken back is refused before a claim is used, or a key is changed', async () => {
  const key = await makeTestKey();
  const { mint } = await addTestBatch(database.store, 'aws-7');
  const { csr } = makeCsr();
  const { device = '' } = await server.enrol(key, { claim: await mintClaim(mint, 'SN-0007'), csr });
  await database.store.transaction((sql) =>
    revokeAllCertificates(sql, ALL_CUSTOMERS, 'test', { deviceId: device, reason: 'stolen' }),
  );
  expect(await server.ask(key, { csr, device })).toMatchObject({ status: 403, code: 'csr_key_revoked' });
  expect((await server.enrol(key, { device })).status).toBe('accepted');
});

const derOf = (pem: string): Uint8Array =>
  Buffer.from(pem.replaceAll(/-----[A-Z ]+-----/g, '').replaceAll(/\s/g, ''), 'base64');
