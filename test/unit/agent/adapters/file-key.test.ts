import { generateKeyPairSync, verify, createPublicKey } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { ensureKeyFile, readKeyFile } from '@paddock/agent/adapters/file-key.ts';
import { openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { describe, expect, it } from 'vitest';

const newFile = (): string => join(mkdtempSync(join(tmpdir(), 'paddock-key-')), 'state', 'identity.key.pem');
const noInflater = { inflate: () => new Uint8Array() };

async function written(pem: string, mode = 0o600): Promise<string> {
  const file = newFile();
  await ensureKeyFile(file);
  writeFileSync(file, pem);
  chmodSync(file, mode);
  return file;
}

describe('the identity key', () => {
  it('is made once, for its owner alone, and leaves nothing else behind', async () => {
    const file = newFile();
    expect(await ensureKeyFile(file)).toBe(true);
    const pem = readFileSync(file, 'utf8');
    expect(await ensureKeyFile(file)).toBe(false);
    expect(readFileSync(file, 'utf8')).toBe(pem);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(dirname(file))).toEqual(['identity.key.pem']);
  });

  it('is one key when two make it at once', async () => {
    const file = newFile();
    const made = await Promise.allSettled([ensureKeyFile(file), ensureKeyFile(file)]);
    expect(made.some((result) => result.status === 'fulfilled')).toBe(true);
    await expect(readKeyFile(file)).resolves.toBeDefined();
  });

  it.each([
    ['ES256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['Ed25519', generateKeyPairSync('ed25519').privateKey],
  ])('signs with %s what its public part verifies', async (algorithm, privateKey) => {
    const file = await written(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString());
    const key = await readKeyFile(file);
    expect(key.signer.algorithm).toBe(algorithm);
    expect(key.public.jwk).not.toHaveProperty('d');
    const jws = await seal('presence', { hello: 'world' }, key.signer);
    expect(await openEnvelope(parseEnvelope(jws), key.public, noInflater)).toEqual({ hello: 'world' });
    const bytes = new TextEncoder().encode('bytes');
    const publicKey = createPublicKey(privateKey);
    const hash = algorithm === 'ES256' ? 'sha256' : null;
    expect(verify(hash, bytes, { key: publicKey, dsaEncoding: 'ieee-p1363' }, await key.signer.sign(bytes))).toBe(true);
  });

  it.each([0o640, 0o604, 0o660, 0o777])('is refused with mode %o, with advice', async (mode) => {
    const file = newFile();
    await ensureKeyFile(file);
    chmodSync(file, mode);
    await expect(readKeyFile(file)).rejects.toMatchObject({
      code: 'key_readable',
      message: expect.stringContaining(`chmod 600 ${file}`) as string,
    });
  });

  it.each([
    ['nothing', ''],
    ['no PEM', 'hello'],
    [
      'an RSA key',
      generateKeyPairSync('rsa', { modulusLength: 2048 })
        .privateKey.export({ type: 'pkcs8', format: 'pem' })
        .toString(),
    ],
    [
      'a key of another curve',
      generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ],
  ])('is refused when the file holds %s', async (_what, pem) => {
    await expect(readKeyFile(await written(pem))).rejects.toMatchObject({ code: 'key_invalid' });
  });

  it('is missed by name', async () => {
    await expect(readKeyFile(newFile())).rejects.toMatchObject({ code: 'key_missing' });
  });
});
