import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createCustomer, editCustomer, listCustomers } from '@paddock/cloud/customers/customers.ts';
import { createModel, editModel, listModels } from '@paddock/cloud/customers/models.ts';
import { ALL_CUSTOMERS, type Scope } from '@paddock/cloud/customers/scope.ts';
import { createSite, editSite, listSites, readSite } from '@paddock/cloud/customers/sites.ts';
import {
  authenticateToken,
  createToken,
  listTokens,
  newToken,
  registerOperatorToken,
  revokeToken,
} from '@paddock/cloud/customers/tokens.ts';
import {
  editDevice,
  keysOf,
  readDevice,
  registerDevice,
  retireDevice,
  type NewDevice,
} from '@paddock/cloud/devices/registry.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { makeTestKey } from '../../harness/signing.ts';

const ME = 'token:tester';
const ACME: Scope = { customerId: 'acme' };
let database: FreshDatabase;
const run = <T>(work: (sql: Sql) => Promise<T>): Promise<T> => database.store.transaction(work);
const refusal = (code: string) => expect.objectContaining({ name: 'FleetError', code });

beforeAll(async () => {
  database = await freshDatabase();
  for (const customerId of ['acme', 'other']) {
    await run((sql) => createCustomer(sql, ALL_CUSTOMERS, ME, { customerId, name: customerId }));
    await run((sql) => createSite(sql, ALL_CUSTOMERS, ME, { siteId: `${customerId}-hall`, customerId, name: 'Hall' }));
    await run((sql) =>
      createModel(sql, ALL_CUSTOMERS, ME, { modelId: `${customerId}-m`, customerId, manufacturer: 'M', name: 'N' }),
    );
  }
  await run((sql) => createModel(sql, ALL_CUSTOMERS, ME, { modelId: 'for-all', manufacturer: 'M', name: 'N' }));
});
afterAll(() => database.drop());

describe('customers, sites and models', () => {
  test('are edited from what was read, and the second of two editors is told', async () => {
    const edit = { siteId: 'acme-hall', expectedVersion: 1, name: 'Great hall' };
    expect(await run((sql) => editSite(sql, ACME, ME, edit))).toMatchObject({
      name: 'Great hall',
      timeZone: 'UTC',
      version: 2,
    });
    await expect(run((sql) => editSite(sql, ACME, ME, edit))).rejects.toEqual(refusal('version_conflict'));
    expect(
      await run((sql) =>
        editSite(sql, ACME, ME, { siteId: 'acme-hall', expectedVersion: null, timeZone: 'Europe/Zurich' }),
      ),
    ).toMatchObject({
      name: 'Great hall',
      timeZone: 'Europe/Zurich',
      version: 3,
    });
  });

  test('are listed page by page, each scope its own', async () => {
    const first = await listCustomers(database.store, ALL_CUSTOMERS, { limit: 2 });
    expect(first.items.map(({ customerId }) => customerId)).toEqual(['acme', 'default']);
    const second = await listCustomers(database.store, ALL_CUSTOMERS, { limit: 2, cursor: first.next ?? '' });
    expect(second).toMatchObject({ items: [{ customerId: 'other' }], next: null });
    expect((await listCustomers(database.store, ACME, { limit: 9 })).items).toMatchObject([{ customerId: 'acme' }]);
    expect((await listSites(database.store, ACME, { limit: 9 })).items).toMatchObject([{ siteId: 'acme-hall' }]);
    expect((await listModels(database.store, ACME, { limit: 9 })).items.map(({ modelId }) => modelId)).toEqual([
      'acme-m',
      'for-all',
    ]);
  });

  test.each([
    ['customer_exists', (sql: Sql) => createCustomer(sql, ALL_CUSTOMERS, ME, { customerId: 'acme', name: 'A' })],
    ['scope_forbidden', (sql: Sql) => createCustomer(sql, ACME, ME, { customerId: 'new', name: 'A' })],
    [
      'customer_unknown',
      (sql: Sql) => editCustomer(sql, ACME, ME, { customerId: 'other', expectedVersion: null, name: 'A' }),
    ],
    ['id_invalid', (sql: Sql) => createCustomer(sql, ALL_CUSTOMERS, ME, { customerId: 'A b', name: 'A' })],
    ['text_invalid', (sql: Sql) => createCustomer(sql, ALL_CUSTOMERS, ME, { customerId: 'x', name: '  ' })],
    ['text_invalid', (sql: Sql) => createCustomer(sql, ALL_CUSTOMERS, ME, { customerId: 'x', name: 'a\0b' })],
    ['site_exists', (sql: Sql) => createSite(sql, ACME, ME, { siteId: 'other-hall', name: 'A' })],
    ['scope_forbidden', (sql: Sql) => createSite(sql, ACME, ME, { siteId: 'x', customerId: 'other', name: 'A' })],
    [
      'customer_unknown',
      (sql: Sql) => createSite(sql, ALL_CUSTOMERS, ME, { siteId: 'x', customerId: 'nobody', name: 'A' }),
    ],
    [
      'time_zone_invalid',
      (sql: Sql) => createSite(sql, ACME, ME, { siteId: 'x', name: 'A', timeZone: 'Mars/Olympus' }),
    ],
    ['site_unknown', (sql: Sql) => readSite(sql, ACME, 'other-hall')],
    [
      'scope_forbidden',
      (sql: Sql) => editModel(sql, ACME, ME, { modelId: 'for-all', expectedVersion: null, name: 'A' }),
    ],
    ['model_unknown', (sql: Sql) => editModel(sql, ACME, ME, { modelId: 'other-m', expectedVersion: null, name: 'A' })],
  ])('%s', async (code, work: (sql: Sql) => Promise<unknown>) => {
    await expect(run(work)).rejects.toEqual(refusal(code));
  });
});

describe('devices', () => {
  const newDevice = async (deviceId: string, more: Partial<NewDevice> = {}): Promise<NewDevice> => ({
    deviceId,
    publicKey: (await makeTestKey()).publicJwk,
    ...more,
  });

  test('are registered with their first key, and every instance is told', async () => {
    const told: string[] = [];
    const stop = await database.store.listen('paddock_devices', (deviceId) => told.push(deviceId));
    const key = await makeTestKey();
    const input = {
      deviceId: 'kiosk-0001',
      publicKey: key.privateJwk,
      siteId: 'acme-hall',
      modelId: 'for-all',
      serialNumber: 'S1',
    };
    expect(await run((sql) => registerDevice(sql, ACME, ME, input))).toMatchObject({
      customerId: 'acme',
      name: 'kiosk-0001',
      retiredAt: null,
      version: 1,
    });
    const [stored] = await keysOf(database.store, ACME, 'kiosk-0001');
    expect(stored).toMatchObject({
      thumbprint: key.verification.thumbprint,
      keyId: key.signing.keyId,
      jwk: key.publicJwk,
      revokedAt: null,
    });
    expect(stored?.jwk).not.toHaveProperty('d');
    await expect.poll(() => new Set(told)).toEqual(new Set(['kiosk-0001']));
    await stop();
  });

  test('an id and a key are given once', async () => {
    const input = await newDevice('kiosk-0002');
    await run((sql) => registerDevice(sql, ACME, ME, input));
    await expect(run(async (sql) => registerDevice(sql, ACME, ME, await newDevice('kiosk-0002')))).rejects.toEqual(
      refusal('device_exists'),
    );
    await expect(run((sql) => registerDevice(sql, ACME, ME, { ...input, deviceId: 'kiosk-0003' }))).rejects.toEqual(
      refusal('key_in_use'),
    );
    await expect(readDevice(database.store, ACME, 'kiosk-0003')).rejects.toEqual(refusal('device_unknown'));
  });

  test('move with their customer, and leave the site behind', async () => {
    await run(async (sql) => registerDevice(sql, ACME, ME, await newDevice('kiosk-0004', { siteId: 'acme-hall' })));
    const move = { deviceId: 'kiosk-0004', expectedVersion: 1, customerId: 'other' };
    await expect(run((sql) => editDevice(sql, ACME, ME, move))).rejects.toEqual(refusal('scope_forbidden'));
    expect(await run((sql) => editDevice(sql, ALL_CUSTOMERS, ME, move))).toMatchObject({
      customerId: 'other',
      siteId: null,
      version: 2,
    });
    await expect(run((sql) => editDevice(sql, ALL_CUSTOMERS, ME, move))).rejects.toEqual(refusal('version_conflict'));
    await expect(readDevice(database.store, ACME, 'kiosk-0004')).rejects.toEqual(refusal('device_unknown'));
  });

  test('retire for good', async () => {
    await run(async (sql) => registerDevice(sql, ACME, ME, await newDevice('kiosk-0005')));
    const target = { deviceId: 'kiosk-0005', expectedVersion: null };
    const retired = await run((sql) => retireDevice(sql, ACME, ME, target));
    expect(retired.retiredAt).not.toBeNull();
    expect(await run((sql) => retireDevice(sql, ACME, ME, target))).toEqual(retired);
    await expect(run((sql) => editDevice(sql, ACME, ME, { ...target, name: 'A' }))).rejects.toEqual(
      refusal('device_retired'),
    );
    await expect(run(async (sql) => registerDevice(sql, ACME, ME, await newDevice('kiosk-0005')))).rejects.toEqual(
      refusal('device_exists'),
    );
    expect(await keysOf(database.store, ACME, 'kiosk-0005')).toHaveLength(1);
  });

  test.each([
    ['id_invalid', { deviceId: 'K' }],
    ['key_unsupported', { publicKey: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } }],
    ['key_unsupported', { publicKey: { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' } }],
    ['site_unknown', { siteId: 'other-hall' }],
    ['model_unknown', { modelId: 'other-m' }],
    ['scope_forbidden', { customerId: 'other' }],
    ['text_invalid', { name: '' }],
  ])('%s', async (code, more) => {
    const input = await newDevice('kiosk-9999', more);
    await expect(run((sql) => registerDevice(sql, ACME, ME, input))).rejects.toEqual(refusal(code));
  });

  test('stand on a site and are of a model of their own customer', async () => {
    for (const [code, more] of [
      ['site_of_other_customer', { siteId: 'other-hall' }],
      ['model_of_other_customer', { modelId: 'other-m' }],
    ] as const) {
      const input = await newDevice('kiosk-9998', { customerId: 'acme', ...more });
      await expect(run((sql) => registerDevice(sql, ALL_CUSTOMERS, ME, input))).rejects.toEqual(refusal(code));
    }
  });

  test('are never written outside a transaction with an actor', async () => {
    const { store } = database;
    const input = await newDevice('kiosk-9997');
    await expect(registerDevice(store, ACME, ME, input)).rejects.toMatchObject({ code: 'PDACT' });
  });
});

describe('API tokens', () => {
  test('say who came and how far it reaches, until they are revoked', async () => {
    const { token, apiToken } = await run((sql) => createToken(sql, ACME, ME, { name: 'console' }));
    expect(apiToken).toMatchObject({ name: 'console', customerId: 'acme', revokedAt: null, lastUsedAt: null });
    const { tokenId } = apiToken;
    expect(await authenticateToken(database.store, token)).toEqual({ tokenId, scope: ACME, actor: `token:${tokenId}` });
    expect(await authenticateToken(database.store, `${token}x`)).toBeNull();
    const [used] = (await listTokens(database.store, ACME, { limit: 9 })).items;
    expect(used?.lastUsedAt).not.toBeNull();
    await expect(run((sql) => revokeToken(sql, { customerId: 'other' }, ME, tokenId))).rejects.toEqual(
      refusal('token_unknown'),
    );
    const revoked = await run((sql) => revokeToken(sql, ACME, ME, tokenId));
    expect(await run((sql) => revokeToken(sql, ACME, ME, tokenId))).toEqual(revoked);
    expect(await authenticateToken(database.store, token)).toBeNull();
  });

  test('reach no further than who made them', async () => {
    for (const customerId of [null, 'other'])
      await expect(run((sql) => createToken(sql, ACME, ME, { name: 'n', customerId }))).rejects.toEqual(
        refusal('scope_forbidden'),
      );
    expect(
      (await listTokens(database.store, ACME, { limit: 9 })).items.every(({ customerId }) => customerId === 'acme'),
    ).toBe(true);
  });

  test('are kept as hashes', async () => {
    const { token } = await run((sql) => createToken(sql, ACME, ME, { name: 'hidden' }));
    const dump = await database.store.query(
      'SELECT to_jsonb(t) AS row FROM api_tokens t UNION ALL SELECT to_jsonb(h) FROM history h',
    );
    expect(JSON.stringify(dump)).not.toContain(token.slice(8));
  });

  test('the operator’s comes from the data directory, and stays revoked', async () => {
    const token = newToken();
    for (let starts = 0; starts < 2; starts += 1) await run((sql) => registerOperatorToken(sql, token));
    const who = await authenticateToken(database.store, token);
    expect(who).toMatchObject({ scope: ALL_CUSTOMERS });
    await run((sql) => revokeToken(sql, ALL_CUSTOMERS, ME, who?.tokenId ?? ''));
    await run((sql) => registerOperatorToken(sql, token));
    expect(await authenticateToken(database.store, token)).toBeNull();
  });
});
