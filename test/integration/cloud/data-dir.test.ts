import { createPublicKey, verify } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadOnlineKey, openDataDir, readOperatorToken } from '@paddock/cloud/adapters/data-dir.ts';

let parent: string;
let path: string;
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'paddock-data-'));
  path = join(parent, 'deep/data');
});
afterEach(() => rm(parent, { recursive: true }));

test('is made closed, and stays what it was made', async () => {
  const made = await openDataDir(path);
  const key = await loadOnlineKey(path);
  expect((await stat(path)).mode & 0o777).toBe(0o700);
  for (const file of await readdir(path)) expect((await stat(join(path, file))).mode & 0o777).toBe(0o600);
  expect(await openDataDir(path)).toEqual(made);
  expect(await readOperatorToken(path)).toBe(made.operatorToken);
  expect((await loadOnlineKey(path)).publicJwk).toEqual(key.publicJwk);
});

test('is the same for everybody who opens it first at the same time', async () => {
  const opened = await Promise.all(Array.from({ length: 8 }, () => openDataDir(path)));
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadOnlineKey(path)));
  expect(new Set(opened.map(({ operatorToken, databasePassword }) => operatorToken + databasePassword)).size).toBe(1);
  expect(new Set(keys.map(({ publicJwk }) => publicJwk.x)).size).toBe(1);
  expect((await readdir(path)).toSorted()).toEqual(['online.key.pem', 'operator.token', 'postgres-password']);
});

test('is refused when others may read a secret in it', async () => {
  await openDataDir(path);
  await chmod(join(path, 'operator.token'), 0o640);
  await expect(openDataDir(path)).rejects.toMatchObject({ code: 'secret_readable' });
});

test('signs as JWS wants it: ES256, r and s', async () => {
  const { signing, publicJwk } = await loadOnlineKey(path);
  const bytes = Buffer.from('an answer');
  const signature = await signing.sign(bytes);
  const key = createPublicKey({ key: { ...publicJwk }, format: 'jwk' });
  expect(signature).toHaveLength(64);
  expect(verify('sha256', bytes, { key, dsaEncoding: 'ieee-p1363' }, signature)).toBe(true);
  expect(publicJwk).toMatchObject({ kid: signing.keyId, alg: 'ES256', use: 'sig' });
  expect(publicJwk).not.toHaveProperty('d');
});

test('has no operator token before it is made', async () => {
  expect(await readOperatorToken(path)).toBeNull();
});
