import { chmodSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { agent, newHome } from '../../harness/agent/cli.ts';
import { makeTestKey } from '../../harness/signing.ts';

interface Failure {
  readonly error: { readonly code: string; readonly message: string };
}

async function initialised(): Promise<string> {
  const home = newHome();
  await agent(home, 'init', '--device', 'kiosk-0001', '--url', 'mqtt://127.0.0.1:1');
  return home;
}

async function withCloudKeys(): Promise<string> {
  const home = await initialised();
  writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify({ keys: [(await makeTestKey()).publicJwk] }));
  return home;
}

const failure = (out: string): Failure['error'] => (JSON.parse(out) as Failure).error;

describe('init', () => {
  it('makes a configuration and a key for the owner alone, and says how to register', async () => {
    const home = newHome();
    const { code, out } = await agent(home, 'init', '--device', 'kiosk-0001', '--json');
    expect(code).toBe(0);
    const made = JSON.parse(out) as {
      device: string;
      keyFile: string;
      fingerprint: string;
      publicKey: object;
      register: string;
    };
    expect(made).toMatchObject({ device: 'kiosk-0001', publicKey: { kty: 'EC', crv: 'P-256' }, madeKey: true });
    expect(made.fingerprint).toHaveLength(43);
    expect(made.publicKey).not.toHaveProperty('d');
    expect(made.register).toContain('paddock devices register kiosk-0001');
    expect(statSync(made.keyFile).mode & 0o777).toBe(0o600);
    expect(readFileSync(made.keyFile, 'utf8')).toMatch(/^-----BEGIN PRIVATE KEY-----/);
  });

  it('never makes another key, not even with --force', async () => {
    const home = await initialised();
    const file = join(home, 'state/identity.key.pem');
    const before = readFileSync(file, 'utf8');
    expect((await agent(home, 'init', '--device', 'kiosk-0002', '--force')).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toBe(before);
    expect(readFileSync(join(home, 'agent.yaml'), 'utf8')).toContain('device: kiosk-0002');
  });

  it('leaves nothing behind when it is told nonsense', async () => {
    const home = newHome();
    const { code, err } = await agent(home, 'init', '--device', 'kiosk-0001', '--url', 'localhost');
    expect([code, err]).toEqual([2, expect.stringContaining('cloud.url')]);
    expect(readdirSync(home)).toEqual([]);
  });

  it('keeps a configuration that is there', async () => {
    const { code, out } = await agent(await initialised(), 'init', '--device', 'kiosk-0002', '--json');
    expect(code).toBe(1);
    expect(failure(out).code).toBe('config_exists');
  });

  it('pins cloud keys, and refuses a file that holds none', async () => {
    const home = await initialised();
    writeFileSync(join(home, 'keys.json'), JSON.stringify({ keys: [(await makeTestKey()).publicJwk] }));
    expect((await agent(home, 'init', '--cloud-keys', 'keys.json')).code).toBe(0);
    expect(readFileSync(join(home, 'cloud-keys.json'))).toEqual(readFileSync(join(home, 'keys.json')));
    writeFileSync(join(home, 'wrong.json'), '{"keys": []}');
    const { code, out } = await agent(home, 'init', '--cloud-keys', 'wrong.json', '--json');
    expect([code, failure(out).code]).toEqual([1, 'cloud_keys_invalid']);
  });

  it.each([['KIOSK'], ['a'], ['-kiosk']])('refuses the device id %s', async (id) => {
    const { code, out } = await agent(newHome(), 'init', `--device=${id}`, '--json');
    expect([code, failure(out).code]).toEqual([2, 'device_id_invalid']);
  });
});

describe('what keeps it from running', () => {
  it('is a key that others can read, with advice', async () => {
    const home = await withCloudKeys();
    chmodSync(join(home, 'state/identity.key.pem'), 0o640);
    const { code, out } = await agent(home, 'run', '--json');
    expect(code).toBe(1);
    expect(failure(out)).toMatchObject({
      code: 'key_readable',
      message: expect.stringContaining('chmod 600') as string,
    });
  });

  it('is a key file with something else in it', async () => {
    const home = await withCloudKeys();
    writeFileSync(join(home, 'state/identity.key.pem'), 'no key', { mode: 0o600 });
    const { code, out } = await agent(home, 'run', '--json');
    expect([code, failure(out).code]).toEqual([1, 'key_invalid']);
  });

  it('is an unknown key of the configuration, named with its line', async () => {
    const home = await withCloudKeys();
    const file = join(home, 'agent.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('dataDir:', 'datadir:'));
    const { code, err } = await agent(home, 'run');
    expect(code).toBe(2);
    expect(err).toMatch(/agent\.yaml:3: datadir is not a known key \(did you mean dataDir\?\)/);
  });

  it('is a schedule that is none', async () => {
    const home = await withCloudKeys();
    const file = join(home, 'agent.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('*/5 * * * *', 'every five minutes'));
    const { code, out } = await agent(home, 'run', '--json');
    expect([code, failure(out).code]).toEqual([2, 'schedule_invalid']);
  });

  it('is a schedule that never comes, and no command hangs on it', async () => {
    const home = await initialised();
    const file = join(home, 'agent.yaml');
    writeFileSync(file, readFileSync(file, 'utf8').replace('"*/5 * * * *"', '"0 0 30 2 *"'));
    const { code, out } = await agent(home, 'state', '--seconds', '0', '--json');
    expect([code, failure(out).code]).toEqual([2, 'schedule_invalid']);
  });

  it('is a cloud that was never registered with', async () => {
    const { code, out } = await agent(await initialised(), 'run', '--json');
    expect([code, failure(out).code]).toEqual([1, 'cloud_keys_missing']);
  });
});

describe('the command line', () => {
  it.each([
    [['nope']],
    [['run', '--nope']],
    [['state', '--seconds', 'x']],
    [['init']],
    [['run', '--config', 'nope.yaml']],
  ])('answers %j with 2', async (args) => {
    expect((await agent(newHome(), ...args)).code).toBe(2);
  });

  it('documents its exit codes and gives examples', async () => {
    for (const args of [[], ['init'], ['run'], ['state'], ['doctor']]) {
      const { code, out } = await agent(newHome(), ...args, '--help');
      expect(code).toBe(0);
      expect(out).toContain('Exit codes:');
      expect(out).toContain('Examples:');
    }
  });

  it('shows the state without sending anything', async () => {
    const { code, out } = await agent(await initialised(), 'state', '--seconds', '0.5', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({
      identity: null,
      eventsWaiting: 0,
      report: { device: 'kiosk-0001', readings: { door: {} } },
    });
  });

  it('finds what is wrong', async () => {
    const home = await initialised();
    chmodSync(join(home, 'state/identity.key.pem'), 0o644);
    const { code, out } = await agent(home, 'doctor', '--seconds', '0.5', '--json');
    expect(code).toBe(1);
    const { findings } = JSON.parse(out) as { findings: { check: string; status: string; code?: string }[] };
    const statuses = Object.fromEntries(findings.map(({ check, status, code: why }) => [check, why ?? status]));
    expect(statuses).toMatchObject({
      configuration: 'ok',
      'data directory': 'ok',
      'identity key': 'key_readable',
      'cloud keys': 'cloud_keys_missing',
      broker: 'not_checked',
      'port bench': 'ok',
      'sensor door': 'ok',
    });
  });
});
