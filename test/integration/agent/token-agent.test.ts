import { createPrivateKey, createPublicKey } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimFile } from '../../harness/agent/claimed.ts';
import { until } from '../../harness/agent/fake-clock.ts';
import { agent, newHome, startAgent } from '../../harness/agent/cli.ts';
import { makeSoftHsm, PIN, type SoftHsm } from '../../harness/agent/softhsm.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';

const DEVICE = 'kiosk-0001';
let hsm: SoftHsm;
let cloud: CloudProcess;

beforeAll(async () => {
  hsm = makeSoftHsm();
  // The agents that are started here have it from their environment, as on a kiosk.
  process.env['SOFTHSM2_CONF'] = hsm.environment.SOFTHSM2_CONF;
  cloud = await startCloudProcess();
});
afterAll(async () => {
  await cloud.stop();
  hsm.remove();
});

interface Finding {
  readonly check: string;
  readonly status: string;
  readonly code?: string;
  readonly message: string;
}

/** A kiosk whose configuration puts its key on a token of its own. */
function newKiosk(
  label: string,
  change: { readonly module?: string; readonly kind?: 'P-256' | 'Ed25519' } = {},
  more: object = {},
): string {
  const home = newHome();
  const pkcs11 = { ...hsm.token(label), ...change };
  const config = { device: DEVICE, cloud: { url: cloud.mqttUrl }, key: { pkcs11 }, ...more };
  writeFileSync(join(home, 'agent.yaml'), JSON.stringify(config));
  return home;
}

async function findings(home: string): Promise<Record<string, Finding>> {
  const { out } = await agent(home, 'doctor', '--seconds', '0', '--json');
  const all = (JSON.parse(out) as { findings: Finding[] }).findings;
  return Object.fromEntries(all.map((finding) => [finding.check, finding]));
}

/** Waits until something is recorded of the device with this serial number. @returns its id */
async function reportingAs(serialNumber: string): Promise<string> {
  for (;;) {
    const { items } = (await cloud.call('GET', '/devices')).body as {
      items: { deviceId: string; serialNumber: string | null }[];
    };
    const device = items.find((one) => one.serialNumber === serialNumber);
    if (device !== undefined && (await cloud.call('GET', `/devices/${device.deviceId}/state`)).status === 200)
      return device.deviceId;
    await sleep(100);
  }
}

/** Waits until the goodbye is recorded: it waits for the broker alone, and the agent has ended then. */
async function goodbyeOf(deviceId: string): Promise<void> {
  const kind = async (): Promise<string | undefined> => {
    const { body } = await cloud.call('GET', `/devices/${deviceId}/state`);
    return (body as { report?: { trigger: { kind: string } } }).report?.trigger.kind;
  };
  while ((await kind()) !== 'shutdown') await sleep(100);
}

/** Side by side: each has a token and an identity of its own, and waits for processes most of the time. */
describe.concurrent('an agent with its key on a token', () => {
  it.each([
    ['P-256', DEVICE],
    ['Ed25519', 'kiosk-0003'],
  ] as const)('of %s registers, reports and is answered, and neither log nor disk holds the PIN', async (kind, id) => {
    const label = `kiosk-${kind}`;
    const home = newKiosk(label, { kind }, { device: id });
    const made = await agent(home, 'init', '--json');
    expect(made).toMatchObject({ code: 0 });
    const facts = JSON.parse(made.out) as Record<string, unknown>;
    expect(facts).toMatchObject({ madeKey: true, keyFile: null, publicKey: { crv: kind } });
    expect(JSON.parse((await agent(home, 'init', '--json')).out)).toMatchObject({
      madeKey: false,
      fingerprint: facts['fingerprint'],
    });
    const device = { deviceId: id, publicKey: facts['publicKey'] };
    expect((await cloud.call('POST', '/devices', device)).status).toBe(201);
    const { body } = await cloud.call('GET', '/cloud-keys');
    writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify(body));

    expect(await findings(home)).toMatchObject({
      'token library': { status: 'ok', message: expect.stringContaining('SoftHSM') as string },
      token: { status: 'ok', message: expect.stringContaining(`${label}, SoftHSM`) as string },
      'identity key': { status: 'ok', message: expect.stringContaining(String(facts['fingerprint'])) as string },
      'trial signature': { status: 'ok' },
      broker: { status: 'ok' },
    });
    const { out } = await agent(home, 'state', '--seconds', '0');
    expect(out).toContain(`key "identity" on token "${label}" of /`);

    const running = startAgent(home, 'run');
    // Written after an exchange, which takes an answer that was believed.
    await until(() => existsSync(join(home, 'state/clock-status.json')), 'an answer');
    running.child.kill('SIGTERM');
    const { code, err } = await running.ended;
    expect(code).toBe(0);
    expect(err + made.out).not.toContain(PIN);
    await goodbyeOf(id);
    expect(existsSync(join(home, 'state/identity.key.pem'))).toBe(false);
  });

  it.each(['P-256', 'Ed25519'] as const)(
    'of %s enrols by a claim, and connects by mutual TLS with a key that is a file and another one',
    async (kind) => {
      const home = newKiosk(`claimed-${kind}`, { kind }, { device: undefined });
      const config = JSON.parse(readFileSync(join(home, 'agent.yaml'), 'utf8')) as object;
      const serialNumber = `HSM-${kind}`;
      const claim = await claimFile(cloud, home, serialNumber);
      const claimed = { ...config, cloud: { claim }, report: { schedule: '* * * * * *', jitterSeconds: 0 } };
      writeFileSync(join(home, 'agent.yaml'), JSON.stringify(claimed));
      const { fingerprint, publicKey } = JSON.parse((await agent(home, 'init', '--json')).out) as {
        fingerprint: string;
        publicKey: { readonly x: string };
      };
      const running = startAgent(home, 'run');
      const deviceId = await reportingAs(serialNumber);
      running.child.kill('SIGTERM');
      expect((await running.ended).code).toBe(0);
      const certificates = (await cloud.call('GET', `/devices/${deviceId}/certificates`)).body['items'];
      expect(certificates).toMatchObject([{ keyThumbprint: fingerprint }]);

      // The first line; a check stands behind it.
      const [record = ''] = readFileSync(join(home, 'state/enrolment.json'), 'utf8').split('\n');
      const { member } = JSON.parse(record) as { member: { readonly tlsKey: string } };
      const tls = createPublicKey(createPrivateKey(member.tlsKey)).export({ format: 'jwk' });
      expect(tls).toMatchObject({ kty: 'EC', crv: 'P-256' });
      expect(tls.x).not.toBe(publicKey.x);
      expect(existsSync(join(home, 'state/identity.key.pem'))).toBe(false);
    },
    120_000,
  );
});

/** One after the other: what is done to one of them is done to every token, or to every process that is started. */
describe('an agent whose token is not as it should be', () => {
  it('goes on reporting when its token was away for a moment', async () => {
    const home = newKiosk(
      'pulled',
      {},
      { device: 'kiosk-0002', report: { schedule: '* * * * * *', jitterSeconds: 0 } },
    );
    const { publicKey } = JSON.parse((await agent(home, 'init', '--json')).out) as { publicKey: object };
    await cloud.call('POST', '/devices', { deviceId: 'kiosk-0002', publicKey });
    writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify((await cloud.call('GET', '/cloud-keys')).body));
    const running = startAgent(home, 'run');
    const recorded = async (atLeast: number): Promise<number> => {
      for (;;) {
        const { sequence } = (await cloud.call('GET', '/devices/kiosk-0002/state')).body;
        if (typeof sequence === 'number' && sequence >= atLeast) return sequence;
        await sleep(50);
      }
    };
    const before = await recorded(1);
    hsm.pull();
    await sleep(2_000);
    hsm.insert();
    await recorded(before + 3);
    running.child.kill('SIGTERM');
    const { code, err } = await running.ended;
    const codes = err
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { code?: string }).code);
    expect(code).toBe(0);
    expect(codes.filter((told) => told?.startsWith('token_'))).toEqual(['token_failed', 'token_back']);
  });

  it('does not start without its key, and makes none by itself', async () => {
    const home = newKiosk('empty');
    writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify((await cloud.call('GET', '/cloud-keys')).body));
    const { code, out } = await agent(home, 'run', '--json');
    expect([code, JSON.parse(out)]).toMatchObject([1, { error: { code: 'key_missing' } }]);
    expect(await findings(home)).toMatchObject({
      token: { status: 'ok' },
      'identity key': { status: 'fail', code: 'key_missing' },
      'trial signature': { code: 'not_checked' },
    });
  });

  it('tries a wrong PIN once, however often it is started or examined', async () => {
    const home = newKiosk('guarded');
    writeFileSync(join(home, 'cloud-keys.json'), JSON.stringify((await cloud.call('GET', '/cloud-keys')).body));
    const pinFile = join(hsm.home, 'guarded.pin');
    writeFileSync(pinFile, 'wrong-pin\n');
    for (const expected of ['CKR_PIN_INCORRECT', 'not tried again', 'not tried again']) {
      const { code, out } = await agent(home, 'run', '--json');
      const { error } = JSON.parse(out) as { error: { code: string; message: string } };
      expect([code, error.code]).toEqual([1, 'pin_refused']);
      expect(error.message).toContain(expected);
    }
    expect((await findings(home))['token']).toMatchObject({
      code: 'pin_refused',
      message: expect.stringContaining('not tried again') as string,
    });
    expect(readFileSync(join(home, 'state/pin-refused'), 'utf8')).not.toContain('wrong-pin');
  });

  it('says what is wrong with the library, and that the rest was not looked at', async () => {
    const home = newKiosk('lost', { module: '/etc/hostname' });
    expect(await findings(home)).toMatchObject({
      'token library': { status: 'fail', code: 'module_invalid' },
      token: { code: 'not_checked' },
      broker: { code: 'not_checked' },
    });
  });

  it('needs the native addon for that alone, and says how to get it', async () => {
    const home = newKiosk('no-addon');
    const withoutAddon = `import { registerHooks } from 'node:module';
      registerHooks({ resolve(name, context, next) {
        if (name === 'pkcs11js') throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
        return next(name, context);
      } });`;
    process.env['NODE_OPTIONS'] = `--import data:text/javascript,${encodeURIComponent(withoutAddon)}`;
    try {
      expect((await findings(home))['token library']).toMatchObject({
        status: 'fail',
        code: 'addon_missing',
        message: expect.stringContaining('npm rebuild pkcs11js') as string,
      });
      expect((await agent(newHome(), 'init', '--device', DEVICE)).code).toBe(0);
    } finally {
      delete process.env['NODE_OPTIONS'];
    }
  });
});
