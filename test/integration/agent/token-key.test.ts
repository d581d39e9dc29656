import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import {
  ensureTokenKey,
  openTokenKey,
  type TokenDeviceKey,
  type TokenParts,
  type TokenSettings,
} from '@paddock/agent/adapters/pkcs11.ts';
import { CK, openModule } from '@paddock/agent/adapters/pkcs11/module.ts';
import { createRefusals } from '@paddock/agent/adapters/pkcs11/pin.ts';
import { openSession } from '@paddock/agent/adapters/pkcs11/session.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { derOfEs256 } from '@paddock/shared/ecdsa-der.ts';
import { openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { makeSoftHsm, PIN } from '../../harness/agent/softhsm.ts';
import { programPath } from '../../harness/system.ts';

const hsm = makeSoftHsm();
// The library reads it when it is initialized, and knows no other way.
process.env['SOFTHSM2_CONF'] = hsm.environment.SOFTHSM2_CONF;
afterAll(() => hsm.remove());

const clock = createSystemClock();
const noInflater = { inflate: () => new Uint8Array() };
let opened: TokenDeviceKey[] = [];
afterEach(() => {
  for (const { close } of opened) close();
  opened = [];
});

let tokens = 0;
const newToken = (key: Partial<TokenSettings> = {}): TokenSettings => hsm.token(`token-${(tokens += 1)}`, key);
const newParts = (): TokenParts => ({
  clock,
  refusalsFile: join(mkdtempSync(join(tmpdir(), 'paddock-pin-')), 'refused'),
});

async function open(settings: TokenSettings, parts = newParts()): Promise<TokenDeviceKey> {
  const key = await openTokenKey(settings, parts);
  opened.push(key);
  return key;
}

/** The error of a key that cannot be opened. */
async function refusal(settings: TokenSettings, parts = newParts()): Promise<{ code: string; message: string }> {
  try {
    await open(settings, parts);
  } catch (cause) {
    expect(inspect(cause, { depth: 9 })).not.toContain(PIN);
    return cause as { code: string; message: string };
  }
  throw new Error('it was opened');
}

/** Whether openssl verifies it, which knows nothing of ours. */
function verifiedByOpenssl(key: TokenDeviceKey, bytes: Uint8Array, signature: Uint8Array): boolean {
  const dir = mkdtempSync(join(tmpdir(), 'paddock-openssl-'));
  const file = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(dir, name), content);
    return join(dir, name);
  };
  const pem = createPublicKey({ key: key.public.jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' });
  const isEc = key.signer.algorithm === 'ES256';
  const sigfile = file('signature', isEc ? derOfEs256(signature) : signature);
  const digest = isEc ? ['-digest', 'sha256'] : [];
  const args = ['pkeyutl', '-verify', '-pubin', '-inkey', file('public.pem', String(pem)), '-rawin', ...digest];
  const out = execFileSync(programPath('openssl'), [...args, '-in', file('bytes', bytes), '-sigfile', sigfile]);
  return out.toString().includes('Signature Verified Successfully');
}

const pemOf = (type: 'rsa' | 'P-256' | 'P-384'): string => {
  const { privateKey } =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : generateKeyPairSync('ec', { namedCurve: type });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
};

/** Makes keys as somebody else's tool may make them */
async function makeKeys(settings: TokenSettings, names: { private: string; public: string | null }[]): Promise<void> {
  const module = await openModule(settings.module);
  const { session } = await openSession(module.calls, settings, createRefusals(newParts().refusalsFile));
  const { attribute, mechanism } = CK;
  const named = (label: string) => [
    { type: attribute.token, value: true },
    { type: attribute.label, value: label },
  ];
  const params = { type: attribute.ecParams, value: Buffer.from('06082a8648ce3d030107', 'hex') };
  const weak = [
    { type: attribute.sign, value: true },
    { type: attribute.extractable, value: true },
  ];
  for (const name of names) {
    const publicTemplate = [...named(name.public ?? 'nobody'), params];
    const privateTemplate = [...named(name.private), ...weak];
    const how = { mechanism: mechanism.ecKeyPairGen };
    const pair = module.calls.C_GenerateKeyPair(session, how, publicTemplate, privateTemplate);
    if (name.public === null) module.calls.C_DestroyObject(session, pair.publicKey);
  }
  module.close();
}

describe('a key on a token', () => {
  it.each([
    ['P-256', 'ES256'],
    ['Ed25519', 'Ed25519'],
  ] as const)('of kind %s is made once and signs what we and openssl verify', async (kind, algorithm) => {
    const settings = newToken({ kind });
    expect(await ensureTokenKey(settings, newParts())).toBe(true);
    expect(await ensureTokenKey(settings, newParts())).toBe(false);
    const key = await open(settings);
    expect(key.signer.algorithm).toBe(algorithm);
    expect(key.signer.keyId).toBe(key.public.keyId);
    expect(key.about).toMatchObject({ extractable: false, token: expect.stringContaining('SoftHSM') as string });
    const jws = await seal('presence', { hello: 'world' }, key.signer);
    expect(await openEnvelope(parseEnvelope(jws), key.public, noInflater)).toEqual({ hello: 'world' });
    const bytes = new TextEncoder().encode('bytes of a report'.repeat(500));
    const signature = await key.signer.sign(bytes);
    expect(signature).toHaveLength(64);
    expect(verifiedByOpenssl(key, bytes, signature)).toBe(true);
  });

  it('is found by its id and by the number of its slot as well', async () => {
    const settings = newToken({ id: 'a1B2' });
    await ensureTokenKey(settings, newParts());
    const key = await open(settings);
    const { message } = await refusal({ ...settings, token: 'nowhere' });
    const slot = Number(new RegExp(`"${settings.token}" in slot (\\d+)`).exec(message)?.[1]);
    const { token: _, ...elsewhere } = settings;
    expect((await open({ ...elsewhere, slot })).public.thumbprint).toBe(key.public.thumbprint);
  });

  it('makes many signatures that are asked for at once, each for its own bytes', async () => {
    const settings = newToken();
    await ensureTokenKey(settings, newParts());
    const { signer, public: verification } = await open(settings);
    const sealed = await Promise.all(Array.from({ length: 500 }, (_, n) => seal('presence', { n }, signer)));
    const read = await Promise.all(sealed.map((jws) => openEnvelope(parseEnvelope(jws), verification, noInflater)));
    expect(read).toEqual(Array.from({ length: 500 }, (_, n) => ({ n })));
  });

  it('is the same one after the program was started again', async () => {
    const settings = newToken();
    await ensureTokenKey(settings, newParts());
    const before = await open(settings);
    before.close();
    expect((await open(settings)).public.thumbprint).toBe(before.public.thumbprint);
  });

  it('that could be taken out is used, and said to be so', async () => {
    const settings = newToken();
    await makeKeys(settings, [{ private: 'identity', public: 'identity' }]);
    expect((await open(settings)).about.extractable).toBe(true);
  });
});

describe('what is wrong with a token', () => {
  it('is a library that is not there, or is none', async () => {
    const settings = newToken();
    expect(await refusal({ ...settings, module: '/nowhere/lib.so' })).toMatchObject({ code: 'module_missing' });
    const text = join(hsm.home, 'text.so');
    writeFileSync(text, 'hello');
    expect(await refusal({ ...settings, module: text })).toMatchObject({ code: 'module_invalid' });
    // A library, but of another kind: the addon itself.
    const other = join(hsm.home, 'other.so');
    copyFileSync(join(import.meta.dirname, '../../../node_modules/pkcs11js/build/Release/pkcs11.node'), other);
    expect(await refusal({ ...settings, module: other })).toMatchObject({ code: 'module_invalid' });
  });

  it('is a token, a slot or a key that is not there, named with what is', async () => {
    const settings = newToken();
    expect(await refusal({ ...settings, token: 'nowhere' })).toMatchObject({
      code: 'token_missing',
      message: expect.stringContaining(`"${settings.token}" in slot`) as string,
    });
    const { token: _, ...nowhere } = settings;
    expect(await refusal({ ...nowhere, slot: 4_000_000_000 })).toMatchObject({ code: 'token_missing' });
    expect(await refusal(settings)).toMatchObject({
      code: 'key_missing',
      message: expect.stringContaining('init') as string,
    });
  });

  it('is two tokens or two keys of one name', async () => {
    const settings = newToken();
    hsm.importKey(settings.token ?? '', 'identity', '01', pemOf('P-256'));
    hsm.importKey(settings.token ?? '', 'identity', '02', pemOf('P-256'));
    expect(await refusal(settings)).toMatchObject({ code: 'key_ambiguous' });
    const { label: _, ...byId } = settings;
    const key = await open({ ...byId, id: '02' });
    expect(key.signer.algorithm).toBe('ES256');
    key.close();
    hsm.token(settings.token ?? '');
    expect(await refusal(settings)).toMatchObject({ code: 'token_ambiguous' });
  });

  it.each(['rsa', 'P-384'] as const)('is a key of another kind: %s', async (type) => {
    const settings = newToken();
    hsm.importKey(settings.token ?? '', 'identity', '01', pemOf(type));
    expect(await refusal(settings)).toMatchObject({ code: 'key_unsupported' });
    expect(await ensureTokenKey(settings, newParts()).catch((cause: { code: string }) => cause.code)).toBe(
      'key_unsupported',
    );
  });
});

describe('the public part of a key', () => {
  it('is missed when it is not on the token', async () => {
    const settings = newToken();
    await makeKeys(settings, [{ private: 'identity', public: null }]);
    expect(await refusal(settings)).toMatchObject({ code: 'key_public_missing' });
  });

  it('is not believed when it belongs to another key', async () => {
    const settings = newToken();
    const crossed = [
      { private: 'identity', public: 'other' },
      { private: 'other', public: 'identity' },
    ];
    await makeKeys(settings, crossed);
    expect(await refusal(settings)).toMatchObject({
      code: 'key_public_missing',
      message: expect.stringContaining('does not belong') as string,
    });
  });
});

describe('the PIN', () => {
  it.each([0o640, 0o604, 0o620])('is refused when its file has mode %o', async (mode) => {
    const settings = newToken();
    chmodSync(settings.pinFile, mode);
    expect(await refusal(settings)).toMatchObject({
      code: 'pin_file_readable',
      message: expect.stringContaining('chmod 600') as string,
    });
  });

  it.each(['', '\n', 'one\ntwo\n', 'x'.repeat(256)])('is one line: %j is none', async (text) => {
    const settings = newToken();
    writeFileSync(settings.pinFile, text);
    expect(await refusal(settings)).toMatchObject({ code: 'pin_file_invalid' });
    expect(await refusal({ ...settings, pinFile: '/nowhere/pin' })).toMatchObject({ code: 'pin_file_missing' });
  });

  it('is tried once when it is wrong, even by programs that are started again, until its file is written', async () => {
    const settings = newToken();
    const parts = newParts();
    await ensureTokenKey(settings, parts);
    const written = (pin: string): void => {
      writeFileSync(settings.pinFile, pin);
      utimesSync(settings.pinFile, 1_795_464_000, 1_795_464_000);
    };
    const wrong = PIN.replaceAll(/\d/g, '0');
    written(wrong);
    expect(await refusal(settings, parts)).toMatchObject({
      code: 'pin_refused',
      message: expect.stringContaining('CKR_PIN_INCORRECT') as string,
    });
    expect(readFileSync(parts.refusalsFile, 'utf8')).not.toContain(wrong);
    // It would be taken if it were tried: nothing but the time of its writing tells one PIN from another.
    written(PIN);
    expect(await refusal(settings, { ...parts })).toMatchObject({
      code: 'pin_refused',
      message: expect.stringContaining('not tried again') as string,
    });
    writeFileSync(settings.pinFile, `${PIN}\n`);
    await expect(open(settings, parts)).resolves.toBeDefined();
    expect(existsSync(parts.refusalsFile)).toBe(false);
  });
});

describe('a token that is pulled out', () => {
  it('is told once and used again when it is back, without a restart', async () => {
    const settings = newToken();
    await ensureTokenKey(settings, newParts());
    const told: string[] = [];
    const notices = {
      lost: (error: { code: string }) => void told.push(error.code),
      back: () => void told.push('back'),
    };
    const key = await open(settings, { ...newParts(), ...notices });
    const bytes = new TextEncoder().encode('bytes');
    hsm.pull();
    await expect(key.signer.sign(bytes)).rejects.toMatchObject({ name: 'TokenError' });
    const before = performance.now();
    await expect(key.signer.sign(bytes)).rejects.toMatchObject({ name: 'TokenError' });
    expect(performance.now() - before).toBeLessThan(500);
    hsm.insert();
    await clock.sleep(4_500);
    expect(verifiedByOpenssl(key, bytes, await key.signer.sign(bytes))).toBe(true);
    expect(told).toEqual(['token_failed', 'back']);
  });

  it('costs no signature when it is back within a moment', async () => {
    const settings = newToken();
    await ensureTokenKey(settings, newParts());
    const key = await open(settings);
    hsm.pull();
    const signing = Promise.all([1, 2, 3].map((n) => key.signer.sign(new Uint8Array([n]))));
    await clock.sleep(600);
    hsm.insert();
    expect(await signing).toHaveLength(3);
  });

  it('is refused when it comes back with another key', async () => {
    const settings = newToken();
    await ensureTokenKey(settings, newParts());
    const key = await open(settings);
    key.close();
    hsm.wipe(settings.token ?? '');
    hsm.token(settings.token ?? '');
    await ensureTokenKey(settings, newParts());
    await expect(key.signer.sign(new Uint8Array([1]))).rejects.toMatchObject({ code: 'key_changed' });
  });
});
