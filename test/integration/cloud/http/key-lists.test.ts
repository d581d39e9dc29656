import { afterAll, beforeAll, expect, test } from 'vitest';
import { addKeyList, keyListOf, newestKeyList } from '@paddock/cloud/trust/key-lists.ts';
import { nextKeyList } from '@paddock/cloud/trust/key-list.ts';
import type { KeyList } from '@paddock/shared/enrolment.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

const LISTS = '/api/v1/key-lists';
let database: FreshDatabase;
let http: TestHttp;
let root: TestKey;
let older: TestKey;

/** The service began with another online key, which devices still know. */
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
  [root, older] = await Promise.all([makeTestKey(), makeTestKey()]);
  const authorities = [Buffer.alloc(64, 1).toString('base64url')];
  const believed = { root: root.publicJwk, keys: [older.publicJwk], authorities, epoch: 0 };
  const list = (await nextKeyList(null, believed, wallMs(Date.now()))) as KeyList;
  const sealed = await seal('keys', list, root.signing);
  const key = await importVerificationKey(root.publicJwk);
  await database.store.transaction((sql) => addKeyList(sql, sealed, key));
});
afterAll(async () => {
  await http.close();
  await database.drop();
});

const next = async (body: object = {}) =>
  (await http.call('POST', `${LISTS}/next`, { body })).body['payload'] as KeyList | null;
const offer = async (list: object, by: TestKey) =>
  http.call('POST', LISTS, { body: { sealed: await seal('keys', list, by.signing) } });
const keyIdOf = async (key: TestKey) => (await importVerificationKey(key.publicJwk)).keyId;

test('a list is walked: each is sealed by the root that the one before names, and none is taken out of step', async () => {
  const second = await next();
  expect(second).toMatchObject({ version: 2, keys: [{ x: http.cloudKey.publicJwk.x }, { x: older.publicJwk.x }] });
  const stranger = await offer(second ?? {}, older);
  expect([stranger.status, stranger.body['code']]).toEqual([400, 'key_list_invalid']);
  const added = await offer(second ?? {}, root);
  expect([added.status, added.body['keyIds']]).toEqual([201, [await keyIdOf(http.cloudKey), await keyIdOf(older)]]);
  const again = await offer(second ?? {}, root);
  expect([again.status, again.body['code']]).toEqual([409, 'key_list_out_of_step']);
  expect(await next()).toBeNull();
  expect(await next({ again: true })).toMatchObject({ version: 3, keys: second?.keys });
  expect((await http.call('GET', LISTS)).items.map(({ version }) => version)).toEqual([2, 1]);
  expect((await keyListOf(database.store, 1))?.list.keys).toHaveLength(1);
});

test('a stolen key is withdrawn, and a new root takes over', async () => {
  const [root2, newest] = [await makeTestKey(), await newestKeyList(database.store)];
  const third = await next({ withoutKeys: [await keyIdOf(older)], root: root2.publicJwk });
  expect(third?.keys.map(({ x }) => x)).toEqual([http.cloudKey.publicJwk.x]);
  expect((await offer(third ?? {}, root2)).body['code']).toBe('key_list_invalid');
  expect((await offer(third ?? {}, root)).status).toBe(201);
  const fourth = { ...third, version: (newest?.list.version ?? 0) + 2, epoch: 1 };
  expect((await offer(fourth, root)).body['code']).toBe('key_list_invalid');
  expect((await offer(fourth, root2)).status).toBe(201);
  expect((await next())?.epoch ?? 1).toBe(1);
  const back = { ...fourth, version: fourth.version + 1, epoch: 0 };
  expect((await offer(back, root2)).body['code']).toBe('key_list_invalid');
});

test('nothing of it is changed past the root', async () => {
  await expect(database.store.query('DELETE FROM key_lists')).rejects.toThrow('refused');
  await expect(database.store.query(`UPDATE key_lists SET sealed = 'x'`)).rejects.toThrow('refused');
  const token = await http.tokenOf('narrow');
  const { body, status } = await http.call('POST', LISTS, { token, body: { sealed: 'a.b.c' } });
  expect([status, body['code']]).toEqual([403, 'scope_forbidden']);
  const nonsense = await http.call('POST', LISTS, { body: { sealed: 'a.b.c' } });
  expect([nonsense.status, nonsense.body['code']]).toEqual([400, 'key_list_invalid']);
});
