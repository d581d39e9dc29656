import { X509Certificate } from 'node:crypto';
import { createCustomer } from '@paddock/cloud/customers/customers.ts';
import { createModel } from '@paddock/cloud/customers/models.ts';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { keysOf, readDevice } from '@paddock/cloud/devices/registry.ts';
import { listBatches, revokeBatch } from '@paddock/cloud/enrolment/factory-keys.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { addTestBatch, mintClaim, startEnrolment, type EnrolServer } from '../../../harness/enrolment.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let database: FreshDatabase;
let server: EnrolServer;
beforeAll(async () => {
  database = await freshDatabase();
  server = await startEnrolment(database.store);
  await database.store.transaction(async (sql) => {
    await createCustomer(sql, ALL_CUSTOMERS, 'test', { customerId: 'acme', name: 'Acme' });
    for (const modelId of ['cp-22', 'tm-7'])
      await createModel(sql, ALL_CUSTOMERS, 'test', { modelId, manufacturer: 'Acme', name: modelId });
  });
});
afterAll(async () => {
  await server.close();
  await database.drop();
});

const usedOf = async (batchId: string): Promise<number | undefined> =>
  (await listBatches(database.store, ALL_CUSTOMERS, { limit: 100 })).items.find((batch) => batch.batchId === batchId)
    ?.used;

describe('a claim', () => {
  test('lets one device in, with a certificate of its own', async () => {
    const { mint } = await addTestBatch(database.store, 'works-1', { modelId: 'cp-22', customerId: 'acme' });
    const key = await makeTestKey();
    const enrolled = await server.enrol(key, { serialNumber: 'SN-0001', claim: await mintClaim(mint, 'SN-0001') });
    expect(enrolled).toMatchObject({ status: 'accepted', mqttUrl: 'mqtts://localhost:8883', keyList: 'a.key.list' });
    expect(enrolled.device).toMatch(/^cp-22-[a-z2-7]{8}$/);
    const [leaf, issuer] = (enrolled.certificate?.chain ?? []).map(
      (der) => new X509Certificate(Buffer.from(der, 'base64url')),
    );
    expect(leaf?.subject).toBe(`CN=${enrolled.device}`);
    expect(issuer !== undefined && leaf?.verify(issuer.publicKey)).toBe(true);
    const deviceId = enrolled.device ?? '';
    expect(await readDevice(database.store, ALL_CUSTOMERS, deviceId)).toMatchObject({
      serialNumber: 'SN-0001',
      modelId: 'cp-22',
      customerId: 'acme',
    });
    expect(await keysOf(database.store, ALL_CUSTOMERS, deviceId)).toMatchObject([
      { thumbprint: key.verification.thumbprint, revokedAt: null },
    ]);
    expect(await usedOf('works-1')).toBe(1);
    expect(server.audit.entries.at(-1)).toMatchObject({
      actor: 'factory:works-1',
      action: 'enrol',
      result: 'done',
      deviceId,
    });
  });

  test('is not needed again: the key gets its next certificate', async () => {
    const { mint } = await addTestBatch(database.store, 'works-2');
    const [key, claim] = [await makeTestKey('Ed25519'), await mintClaim(mint, 'SN-0002')];
    const first = await server.enrol(key, { claim });
    const again = await server.enrol(key, { claim, device: first.device ?? '' });
    expect(again).toMatchObject({ status: 'accepted', device: first.device });
    expect(again.certificate?.chain[0]).not.toBe(first.certificate?.chain[0]);
    expect(await usedOf('works-2')).toBe(1);
  });

  test('that somebody stole is used once only', async () => {
    const { mint } = await addTestBatch(database.store, 'works-3');
    const claim = await mintClaim(mint, 'SN-0003');
    expect((await server.enrol(await makeTestKey(), { claim })).status).toBe('accepted');
    const stolen = await server.ask(await makeTestKey(), { claim });
    expect([stolen.status, stolen.code]).toEqual([403, 'claim_used']);
    expect(server.audit.entries.at(-1)).toMatchObject({ action: 'enrol', result: 'refused', code: 'claim_used' });
  });

  test('of many who come with it at once lets in one', async () => {
    const { mint } = await addTestBatch(database.store, 'works-4');
    const claim = await mintClaim(mint, 'SN-0004');
    const answers = await Promise.all(
      Array.from({ length: 8 }, async () => server.ask(await makeTestKey(), { claim })),
    );
    expect(answers.filter(({ status, code }) => status === 200 && code === undefined)).toHaveLength(1);
    expect(answers.filter(({ code }) => code === 'claim_used')).toHaveLength(7);
    const devices = await database.store.query('SELECT 1 FROM devices WHERE serial_number = $1', ['SN-0004']);
    expect(devices).toHaveLength(1);
    expect(await usedOf('works-4')).toBe(1);
  });

  test('for a serial number that is registered leaves it to a human', async () => {
    const { mint } = await addTestBatch(database.store, 'works-5');
    await server.enrol(await makeTestKey(), { claim: await mintClaim(mint, 'SN-0005') });
    const second = await server.enrol(await makeTestKey(), { claim: await mintClaim(mint, 'SN-0005') });
    expect(second).toMatchObject({ status: 'pending', retryAfterSeconds: 30 });
    expect(second.device).toBeUndefined();
    expect(await usedOf('works-5')).toBe(1);
  });
});

describe('a claim is refused', () => {
  const hour = 3_600_000;
  const refusal = async (claim: string, fields = {}) => {
    const { status, code } = await server.ask(await makeTestKey(), { claim, ...fields });
    return [status, code];
  };

  test.each([
    [
      'after its end',
      'claim_expired',
      async () => {
        const { mint } = await addTestBatch(database.store, 'past');
        return mint.mint('SN-1', { now: wallMs(Date.now() - 2 * hour), lifeMs: hour });
      },
    ],
    [
      'before its time',
      'claim_not_yet_valid',
      async () => {
        const { mint } = await addTestBatch(database.store, 'future');
        return mint.mint('SN-1', { now: wallMs(Date.now() + 2 * hour), lifeMs: hour });
      },
    ],
    [
      'of a batch that is over',
      'batch_expired',
      async () => {
        const ends = { notBefore: '2026-01-01T00:00:00.000Z', notAfter: '2026-01-02T00:00:00.000Z' };
        return mintClaim((await addTestBatch(database.store, 'over', ends)).mint, 'SN-1');
      },
    ],
    [
      'of a batch that has not begun',
      'batch_not_yet_valid',
      async () => {
        const starts = { notBefore: '2999-01-01T00:00:00.000Z', notAfter: '2999-01-02T00:00:00.000Z' };
        return mintClaim((await addTestBatch(database.store, 'unbegun', starts)).mint, 'SN-1');
      },
    ],
    [
      'of a revoked batch',
      'batch_revoked',
      async () => {
        const { mint } = await addTestBatch(database.store, 'revoked');
        await database.store.transaction((sql) => revokeBatch(sql, ALL_CUSTOMERS, 'test', 'revoked'));
        return mintClaim(mint, 'SN-1');
      },
    ],
    [
      'of an exhausted batch',
      'batch_exhausted',
      async () => {
        const { mint } = await addTestBatch(database.store, 'exhausted', { maxDevices: 1 });
        await server.enrol(await makeTestKey(), { claim: await mintClaim(mint, 'SN-only') });
        return mintClaim(mint, 'SN-1');
      },
    ],
    [
      'of an unknown batch',
      'batch_unknown',
      async () => {
        const { mint } = await addTestBatch(database.store, 'forgotten');
        await database.store.transaction(async (sql) => {
          await sql.query("SELECT set_config('paddock.actor', 'test', true)");
          await sql.query("DELETE FROM factory_keys WHERE batch_id = 'forgotten'");
        });
        return mintClaim(mint, 'SN-1');
      },
    ],
    [
      'for another model than its batch',
      'claim_model_mismatch',
      async () => {
        const { mint } = await addTestBatch(database.store, 'one-model', { modelId: 'cp-22' });
        return mintClaim(mint, 'SN-1', 'tm-7');
      },
    ],
    [
      'for a model that nobody knows',
      'claim_model_unknown',
      async () => {
        const { mint } = await addTestBatch(database.store, 'any-model');
        return mintClaim(mint, 'SN-1', 'xx-1');
      },
    ],
    [
      'sealed by another key',
      'claim_signature_invalid',
      async () => {
        await addTestBatch(database.store, 'genuine');
        const { mint } = await addTestBatch(database.store, 'forger');
        const [, payload = ''] = (await mintClaim(mint, 'SN-1')).split('.');
        const said = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object;
        return seal('claim', { ...said, iss: 'genuine' }, (await makeTestKey()).signing);
      },
    ],
    [
      'that is another kind of message',
      'claim_malformed',
      async () => seal('report', { v: 1 }, (await makeTestKey()).signing),
    ],
    ['without its fields', 'claim_malformed', async () => seal('claim', { v: 1 }, (await makeTestKey()).signing)],
  ])('%s', async (_, code, claim) => {
    expect(await refusal(await claim())).toEqual([code === 'claim_malformed' ? 400 : 403, code]);
  });

  test('for another serial number or model than the device says', async () => {
    const { mint } = await addTestBatch(database.store, 'engraved', { modelId: 'cp-22' });
    const claim = await mintClaim(mint, 'SN-9001');
    expect(await refusal(claim, { serialNumber: 'SN-9002' })).toEqual([403, 'claim_serial_mismatch']);
    expect(await refusal(claim, { model: 'tm-7' })).toEqual([403, 'claim_model_mismatch']);
    expect(await usedOf('engraved')).toBe(0);
  });

  test('with a certificate request that is none, and is not used up by that', async () => {
    const { mint } = await addTestBatch(database.store, 'careful');
    const claim = await mintClaim(mint, 'SN-9100');
    expect(await refusal(claim, { csr: 'MIIBAAAAAAAAAAAAAAAA' })).toEqual([400, 'csr_malformed']);
    expect(await usedOf('careful')).toBe(0);
    expect((await server.enrol(await makeTestKey(), { claim })).status).toBe('accepted');
  });

  test('when many come at once and the batch has room for fewer', async () => {
    const { mint } = await addTestBatch(database.store, 'narrow', { maxDevices: 3 });
    const answers = await Promise.all(
      Array.from({ length: 8 }, async (_, n) =>
        server.ask(await makeTestKey(), { claim: await mintClaim(mint, `SN-92${n}0`) }),
      ),
    );
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3);
    expect(answers.filter(({ code }) => code === 'batch_exhausted')).toHaveLength(5);
    expect(await usedOf('narrow')).toBe(3);
  });
});
