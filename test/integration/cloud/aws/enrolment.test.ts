import { createPrivateKey, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startAwsBench, type AwsBench } from '../../../harness/aws/bench.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeCsr } from '../../../harness/csr.ts';
import { makeTestKey } from '../../../harness/signing.ts';

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

test('a TLS key that AWS does not take is refused before anything is made, or a claim used', async () => {
  const { mint } = await addTestBatch(database.store, 'aws-3');
  const [key, claim] = [await makeTestKey(), await mintClaim(mint, 'SN-0003')];
  const privateKey = createPrivateKey({ key: key.privateJwk, format: 'jwk' });
  const { csr } = makeCsr({ publicKey: createPublicKey(privateKey), privateKey });
  expect(await server.ask(key, { claim, csr })).toMatchObject({ code: 'csr_key_is_identity' });
  expect((await server.enrol(key, { claim })).status).toBe('accepted');
});

const derOf = (pem: string): Uint8Array =>
  Buffer.from(pem.replaceAll(/-----[A-Z ]+-----/g, '').replaceAll(/\s/g, ''), 'base64');
