import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readPublicKey } from '@paddock/cloud/adapters/key-file.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwk = publicKey.export({ format: 'jwk' });
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'paddock-keys-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function fileOf(text: string): Promise<string> {
  const file = join(directory, 'key');
  await writeFile(file, text);
  return file;
}

test('a public key is a JWK, a file with one, or PEM', async () => {
  expect(await readPublicKey(JSON.stringify(jwk))).toEqual(jwk);
  expect(await readPublicKey(await fileOf(JSON.stringify(jwk)))).toEqual(jwk);
  expect(await readPublicKey(await fileOf(publicKey.export({ type: 'spki', format: 'pem' }).toString()))).toEqual(jwk);
});

test('a private key is not taken in any form', async () => {
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const privateJwk = JSON.stringify(privateKey.export({ format: 'jwk' }));
  for (const given of [await fileOf(pem), privateJwk])
    await expect(readPublicKey(given)).rejects.toMatchObject({ code: 'key_private' });
});

test.each(['{"kty":', '[]', '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'])(
  '%j is no key',
  async (text) => {
    await expect(readPublicKey(await fileOf(text))).rejects.toMatchObject({ code: 'key_unreadable' });
  },
);

test('a file that is not there is named', async () => {
  await expect(readPublicKey(join(directory, 'nowhere'))).rejects.toMatchObject({
    code: 'key_unreadable',
    message: expect.stringContaining('nowhere'),
  });
});
