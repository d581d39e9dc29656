import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openOwnDatabase } from '@paddock/cloud/own-database.ts';
import { freePort } from '../../harness/free-port.ts';
import { makeTestKey } from '../../harness/signing.ts';

const PROGRAM = join(import.meta.dirname, '../../../cloud/bin/paddock.cjs');

interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let dataDir: string;
let env: NodeJS.ProcessEnv;
let service: ChildProcess;

/** One run of the program, as a user types it. */
async function paddock(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

async function json(...args: string[]): Promise<unknown> {
  const { code, out, err } = await paddock(...args, '--json');
  if (code !== 0) throw new Error(err);
  return JSON.parse(out);
}

/** Resolves with the first line that says it. */
async function said(stream: NodeJS.ReadableStream, text: string): Promise<string> {
  for await (const line of createInterface({ input: stream })) if (line.includes(text)) return line;
  throw new Error(`It never said ${text}`);
}

beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'paddock-cli-'));
  env = {
    ...process.env,
    PADDOCK_DATA_DIR: dataDir,
    PADDOCK_HTTP_PORT: String(await freePort()),
    PADDOCK_MQTT_PORT: '0',
    PADDOCK_ENROL_PORT: '0',
    PADDOCK_MQTT_TLS_PORT: '0',
  };
  service = spawn(process.execPath, [PROGRAM, 'serve'], { env, stdio: ['ignore', 'inherit', 'pipe'] });
  if (service.stderr) await said(service.stderr, 'mqtts: ');
  service.stderr?.resume();
});
afterAll(async () => {
  if (service.exitCode === null) {
    service.kill('SIGTERM');
    await once(service, 'exit');
  }
  await rm(dataDir, { recursive: true });
});

describe('paddock', () => {
  test('moves the fleet root away, and seals with it from a file: a new root, then by that one', async () => {
    const path = (name: string): string => join(dataDir, name);
    await writeFile(path('pass.txt'), 'correct horse battery\n');
    await writeFile(path('wrong.txt'), 'correct horse botany\n');
    const exported = ['root', 'export', path('root.pem'), '--passphrase-file', path('pass.txt'), '--remove'];
    expect(await json(...exported)).toMatchObject({ removed: true });
    expect(await readFile(path('root.pem'), 'utf8')).toContain('ENCRYPTED');
    await expect(stat(path('fleet-root.key.pem'))).rejects.toThrow('ENOENT');
    expect((await paddock('root', 'sign')).err).toContain('root_missing');
    const by = (key: string, pass = 'pass.txt') => ['--key', path(key), '--passphrase-file', path(pass)];
    expect((await paddock('root', 'sign', ...by('root.pem', 'wrong.txt'))).err).toContain('root_unreadable');
    expect(await json('root', 'sign', ...by('root.pem'))).toEqual({ version: null });
    await json('root', 'new', path('root-2.pem'), '--passphrase-file', path('pass.txt'));
    const named = ['--new-root', path('root-2.pem'), '--new-root-passphrase-file', path('pass.txt')];
    expect((await paddock('root', 'sign', ...by('root-2.pem'), ...named)).err).toContain('key_list_invalid');
    expect(await json('root', 'sign', ...by('root.pem'), ...named)).toMatchObject({ version: 2 });
    const [newest, first] = (await json('root', 'show')) as { version: number; rootKeyId: string }[];
    expect([newest?.version, first?.version]).toEqual([2, 1]);
    expect(newest?.rootKeyId).not.toBe(first?.rootKeyId);
    expect((await paddock('root', 'show')).out).toContain('NEXT ROOT');
  });

  test('shows who did what, one entry with its edits, and that nothing is missing', async () => {
    await json('customers', 'create', 'audited', '--name', 'Audited');
    await paddock('customers', 'create', 'audited', '--name', 'Again');
    await paddock('devices', 'list', '--token', 'paddock_wrong');
    const { out } = await paddock('audit', '--since', '2026-01-01');
    const [, seq = ''] = /^(\d+) .* createCustomer {2}done /m.exec(out) ?? [];
    expect(out).toMatch(
      /^\d+ {2}\S+Z {2}token:operator-\w+ {2}createCustomer {2}done {2}from=127\.0\.0\.1 {2}request=/m,
    );
    expect(out).toMatch(/createCustomer {2}refused \(customer_exists\) {2}/);
    expect(out).toMatch(
      /unknown {2}authenticate {2}refused \(token_invalid\) {2}.*method=GET {2}path=\/api\/v1\/devices/,
    );
    expect(out).not.toContain('paddock_');
    expect(await json('audit', '--action', 'createCustomer', '--result', 'done')).toMatchObject([{ seq: Number(seq) }]);
    expect(await json('audit', 'show', seq)).toMatchObject({ edits: [{ id: 'audited', before: null }] });
    const { head } = (await json('audit', 'verify')) as { head: string };
    expect(await json('audit', 'verify', '--expect', head)).toMatchObject({ verified: true });
    const altered = `${head.slice(0, -1)}${head.endsWith('0') ? '1' : '0'}`;
    expect(await paddock('audit', 'verify', '--expect', altered)).toMatchObject({
      code: 1,
      err: expect.stringContaining('audit_head_differs'),
    });
    expect((await paddock('audit', '--since', 'never')).code).toBe(2);
  });

  test('makes customers, sites and models, and edits what is there', async () => {
    expect(await json('customers', 'create', 'acme', '--name', 'Acme')).toMatchObject({
      customerId: 'acme',
      version: 1,
    });
    await json('sites', 'create', 'hall', '--name', 'Hall', '--customer', 'acme');
    expect(await json('sites', 'edit', 'hall', '--name', 'Great hall')).toMatchObject({
      name: 'Great hall',
      version: 2,
    });
    await json('models', 'create', 'kiosk-9', '--manufacturer', 'M', '--family', 'F', '--name', 'Nine');
    expect(await json('models', 'edit', 'kiosk-9', '--family', '')).toMatchObject({ family: null });
    expect((await paddock('sites', 'list')).out).toBe(
      'SITE  CUSTOMER  NAME        TIME ZONE\nhall  acme      Great hall  UTC\n',
    );
  });

  test('registers a device, and writes what it pins', async () => {
    const { publicJwk } = await makeTestKey();
    const keyFile = join(dataDir, 'kiosk.jwk');
    const pins = join(dataDir, 'cloud-keys.json');
    await writeFile(keyFile, JSON.stringify(publicJwk));
    const args = ['devices', 'register', 'kiosk-0001', '--public-key', keyFile, '--customer', 'acme', '--site', 'hall'];
    const registered = await json(...args, '--cloud-keys-out', pins);
    expect(registered).toMatchObject({ device: { deviceId: 'kiosk-0001', siteId: 'hall', presence: 'never-seen' } });
    expect(JSON.parse(await readFile(pins, 'utf8'))).toEqual((registered as { cloudKeys: unknown }).cloudKeys);
    expect(await json('devices', 'list', '--presence', 'never-seen')).toMatchObject([{ deviceId: 'kiosk-0001' }]);
    expect(await json('devices', 'show', 'kiosk-0001')).toMatchObject({ customerId: 'acme' });
    expect(await paddock(...args, '--json')).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringContaining('"device_exists"'),
    });
  });

  test('shows what a device proves itself with, and takes it back', async () => {
    const [key] = (await json('devices', 'keys', 'kiosk-0001')) as { thumbprint: string }[];
    expect((await paddock('devices', 'keys', 'kiosk-0001')).out).toContain(`FINGERPRINT`);
    expect(await json('devices', 'certificates', 'kiosk-0001')).toEqual([]);
    expect((await paddock('devices', 'revoke-certificates', 'kiosk-0001')).code).toBe(2);
    expect((await paddock('devices', 'revoke-certificates', 'kiosk-0001', '--reason', 'a test')).out).toBe(
      'kiosk-0001: 0 certificates revoked\n',
    );
    const revoked = ['devices', 'revoke-key', 'kiosk-0001', '--reason', 'stolen'];
    expect((await paddock(...revoked, '--key', 'A'.repeat(12))).err).toContain('key_unknown');
    expect(await json(...revoked)).toMatchObject({ thumbprint: key?.thumbprint, revokedCertificates: 0 });
    expect((await paddock('devices', 'keys', 'kiosk-0001')).out).toContain('stolen');
    expect((await paddock(...revoked)).err).toContain('key_unknown');
  });

  test('makes a token that reaches one customer, until it is revoked', async () => {
    const token = (await paddock('tokens', 'create', '--name', 'console', '--customer', 'acme')).out.trim();
    expect(await json('customers', 'list', '--token', token)).toMatchObject([{ customerId: 'acme' }]);
    const all = (await json('tokens', 'list')) as { name: string; tokenId: string }[];
    await json('tokens', 'revoke', all.find(({ name }) => name === 'console')?.tokenId ?? '');
    expect(await paddock('customers', 'list', '--token', token)).toMatchObject({
      code: 1,
      err: expect.stringContaining('token_invalid'),
    });
  });

  test('watches until Ctrl-C', async () => {
    const watch = spawn(process.execPath, [PROGRAM, 'devices', 'watch', '--json'], {
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const line = said(watch.stdout, '"retired"');
    const { publicJwk } = await makeTestKey();
    await json('devices', 'register', 'kiosk-0002', '--public-key', JSON.stringify(publicJwk));
    await json('devices', 'retire', 'kiosk-0002');
    expect(JSON.parse(await line)).toMatchObject({
      event: expect.any(String),
      data: { deviceId: 'kiosk-0002', presence: 'retired' },
    });
    watch.kill('SIGINT');
    expect(await once(watch, 'exit')).toEqual([0, null]);
  });

  test('shows who runs, and how right its clock is', async () => {
    const [instance] = (await json('instances')) as {
      alive: boolean;
      clock: { errorMs: number; disagrees: boolean };
    }[];
    expect(instance).toMatchObject({ alive: true, clock: { disagrees: false } });
    expect(instance?.clock.errorMs).toBeGreaterThan(0);
    expect((await paddock('instances')).out).toMatch(/^INSTANCE .*CLOCK ERROR MS.*\n.* running .* agrees$/m);
  });

  test('refuses to serve a data directory twice', async () => {
    const second = await paddock('serve', '--http-port', '0');
    expect(second).toMatchObject({ code: 1, err: expect.stringContaining(`process ${service.pid} `) });
  });

  test.each([
    [0, ['--help']],
    [0, ['devices', 'register', '--help']],
    [2, ['devices', 'no-such-command']],
    [2, ['devices', 'register', 'kiosk-0003']],
    [2, ['serve', '--http-port', 'x']],
    [1, ['verify', '/nowhere']],
    [1, ['devices', 'show', 'kiosk-9999']],
    [3, ['devices', 'list', '--url', 'http://127.0.0.1:1']],
  ])('ends with %i for %j', async (code, args) => {
    expect((await paddock(...args)).code).toBe(code);
  });

  test('tells wrong usage and wrong files in JSON, too', async () => {
    const codeOf = async (...args: string[]) => JSON.parse((await paddock(...args, '--json')).err) as unknown;
    const code = (text: string) => ({ error: { code: text, message: expect.any(String) } });
    expect(await codeOf('devices', 'register', 'kiosk-0003')).toEqual(code('usage'));
    expect(await codeOf('no-such-command')).toEqual(code('usage'));
    const file = join(dataDir, 'bad.json');
    await writeFile(file, '{');
    expect(await codeOf('verify', file)).toEqual(code('proof_malformed'));
    expect(await codeOf('devices', 'list', '--presence', 'bogus')).toEqual({
      error: { code: 'request_invalid', message: expect.stringContaining('/presence') },
    });
  });

  test('takes a reader that goes away for satisfied', async () => {
    const list = spawn(process.execPath, [PROGRAM, 'devices', 'list'], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    list.stdout.destroy();
    const complaint = list.stderr.toArray();
    expect(await once(list, 'exit')).toEqual([0, null]);
    expect(await complaint).toEqual([]);
  });

  test('ends cleanly when it is told to', async () => {
    service.kill('SIGTERM');
    expect(await once(service, 'exit')).toEqual([0, null]);
  });
});

/** As the database and the audit log write it. */
async function serialIn(directory: string, name: string): Promise<string> {
  const pem = await readFile(join(directory, `${name}.cert.pem`));
  return new X509Certificate(pem).serialNumber.toLowerCase();
}

describe('paddock broker-config mosquitto', () => {
  test('shows the settings, and no secret', async () => {
    const { code, out } = await paddock('broker-config', 'mosquitto', '--listen', '10.0.0.5');
    expect([code, out.includes('listener 1883 10.0.0.5'), out.includes('pattern write')]).toEqual([0, true, true]);
    expect(out).not.toMatch(/\$7\$/);
  });

  test('writes the files, the secret one for its owner only, and says what the service needs', async () => {
    const directory = join(dataDir, 'broker');
    const written = await json('broker-config', 'mosquitto', '--out', directory);
    expect(written).toEqual({
      files: ['mosquitto.conf', 'mosquitto.acl', 'mosquitto.passwd'].map((name) => join(directory, name)),
      shareGroup: expect.stringMatching(/^paddock-[\w-]{16}$/),
      brokerUrl: expect.stringMatching(/^mqtt:\/\/paddock-cloud:[\w-]{32}@127\.0\.0\.1:1883$/),
    });
    expect((await stat(join(directory, 'mosquitto.passwd'))).mode & 0o777).toBe(0o600);
  });

  test('writes them for mutual TLS, keys for their owner only, with a certificate for each instance', async () => {
    const directory = join(dataDir, 'tls-broker');
    const more = ['--tls', '--hosts', 'mqtt.example', '--instances', '2'];
    const written = await json('broker-config', 'mosquitto', '--out', directory, ...more);
    const files = [1, 2].map((n) => ({
      cert: join(directory, `cloud-${n}.cert.pem`),
      key: join(directory, `cloud-${n}.key.pem`),
    }));
    expect(written).toMatchObject({ brokerUrl: 'mqtts://mqtt.example:8883', instances: files, isAudited: true });
    const { serials } = written as { serials: string[] };
    expect(serials).toEqual(
      await Promise.all(['broker', 'cloud-1', 'cloud-2'].map((name) => serialIn(directory, name))),
    );
    await using started = new AsyncDisposableStack();
    const database = await openOwnDatabase({ dataDir, databaseUrl: null }, started);
    const told = await database.query<{ entry: string }>(
      "SELECT entry FROM audit_log WHERE action = 'issueBrokerCertificates'",
    );
    expect(told.map(({ entry }) => JSON.parse(entry) as object)).toMatchObject([
      { actor: expect.stringMatching(/^terminal:/), result: 'done', detail: { serials: serials.join(' ') } },
    ]);
    for (const key of ['broker.key.pem', 'cloud-1.key.pem', 'cloud-2.key.pem'])
      expect((await stat(join(directory, key))).mode & 0o777).toBe(0o600);
    const { code } = await paddock('broker-config', 'mosquitto', '--tls', '--instances', '0');
    expect(code).toBe(2);
  });

  test('refuses a place that is none', async () => {
    const { code, err } = await paddock('broker-config', 'mosquitto', '--port', '70000');
    expect([code, err.includes('config_invalid')]).toEqual([2, true]);
  });
});
