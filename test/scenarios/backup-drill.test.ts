import { execFile } from 'node:child_process';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Member } from '../harness/agent/member.ts';
import { startCloudProcess, type CloudProcess } from '../harness/cloud-process.ts';
import { TestDevice } from '../harness/device.ts';
import { freePort } from '../harness/free-port.ts';
import { BOOT_ID } from '../harness/reports.ts';
import { makeTestKey, type TestKey } from '../harness/signing.ts';

const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');
const PASSPHRASE = { PADDOCK_BACKUP_PASSPHRASE: 'correct horse battery' };
const DEVICES = 12;
/** Reports of each device before, during and after the backup. */
const BEFORE = 10;
const AFTER = 10;
const OTHER_BOOT = '11111111-2222-4333-8444-555555555555';

let home: string;
let cloud: CloudProcess;
/** Where devices with certificates find it, before and after. */
let at: Record<string, string>;
const devices: TestDevice[] = [];

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-drill-'));
  at = { PADDOCK_MQTT_TLS_PORT: String(await freePort()) };
  cloud = await startCloudProcess(at);
});
afterEach(async () => {
  await Promise.all(devices.splice(0).map((device) => device.close()));
  await cloud.stop();
  await rm(home, { recursive: true });
});

async function printed(...args: string[]): Promise<unknown> {
  const env = { ...process.env, ...PASSPHRASE };
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...args, '--json'], { env });
  return JSON.parse(stdout);
}

const paddock = async (...args: string[]) => (await printed(...args)) as Record<string, unknown>;
/** The command as the operator of the service. */
const asOperator = (...args: string[]) => paddock(...args, '--url', cloud.httpUrl, '--data-dir', cloud.dataDir);

/** The key of the service as devices pin it. */
async function cloudKey(): Promise<TestKey> {
  const { body } = await cloud.call('GET', '/cloud-keys');
  const [jwk] = body['keys'] as VerificationKey['jwk'][];
  return { ...(await makeTestKey()), verification: await importVerificationKey(jwk ?? {}) };
}

async function register(deviceId: string, pinned: TestKey): Promise<TestDevice> {
  const device = new TestDevice(deviceId, await makeTestKey(), pinned);
  await registerAgain(device);
  devices.push(device);
  return device.connect(cloud.mqttUrl);
}

const registerAgain = ({ deviceId, key }: TestDevice) =>
  cloud.call('POST', '/devices', { deviceId, publicKey: key.publicJwk });

const nonceOf = (sequence: number, start: number): string => `nonce-${start}-${sequence}`.padEnd(22, 'A');

/** Sends one report that asks, and waits for its answer, as a device that keeps nothing that is answered. */
async function answered(device: TestDevice, sequence: number, start = 1) {
  const ask = nonceOf(sequence, start);
  const boot = { id: start === 1 ? BOOT_ID : OTHER_BOOT };
  await device.report({ sequence, start, ask, boot, uptimeMs: 60_000 + sequence * 1_000 });
  return device.answer(({ nonce }) => nonce === ask);
}

async function sendAll(from: number, count: number): Promise<void> {
  await Promise.all(
    devices.slice(0, DEVICES).map(async (device) => {
      for (let sequence = from; sequence < from + count; sequence += 1) await answered(device, sequence);
    }),
  );
}

const covers = (recorded: readonly (readonly [number, number])[], sequence: number): boolean =>
  recorded.some(([first, last]) => first <= sequence && sequence <= last);

it('a service that was destroyed is restored, and its devices go on', { timeout: 480_000 }, async () => {
  const pinned = await cloudKey();
  await cloud.call('POST', '/customers', { customerId: 'acme', name: 'Acme' });
  const { body: made } = await cloud.call('POST', '/tokens', { name: 'of acme', customerId: 'acme' });
  for (let n = 0; n < DEVICES; n += 1) await register(`kiosk-drill-${n}`, pinned);
  await sendAll(0, BEFORE);

  const file = join(home, 'drill.backup');
  const [saved, duringCount] = await Promise.all([
    paddock('backup', file, '--data-dir', cloud.dataDir),
    sendAll(BEFORE, AFTER).then(() => AFTER),
  ]);
  expect(await paddock('backup', 'verify', file)).toMatchObject({ verified: true, backupId: saved['backupId'] });

  // What comes now is in no backup: reports that devices let go of, a start, a device.
  const lostFrom = BEFORE + duringCount;
  await sendAll(lostFrom, AFTER);
  const [first, second] = devices as [TestDevice, TestDevice];
  for (let sequence = 0; sequence < 5; sequence += 1) await answered(first, sequence, 2);
  const late = await register('kiosk-late', pinned);
  await answered(late, 0);
  const held = await second.seal({ sequence: lostFrom + AFTER - 1, uptimeMs: 60_000 + (lostFrom + AFTER - 1) * 1_000 });
  const operatorToken = await readFile(join(cloud.dataDir, 'operator.token'), 'utf8');

  await cloud.destroy();
  await Promise.all(devices.map((device) => device.close()));
  const dataDir = join(home, 'restored');
  const restored = await paddock('restore', file, '--data-dir', dataDir);
  cloud = await startCloudProcess({}, undefined, dataDir);

  // Keys and tokens are the same: answers verify with the key that was pinned, both tokens work.
  expect(await readFile(join(dataDir, 'operator.token'), 'utf8')).toBe(operatorToken);
  const asAcme = await fetch(`${cloud.httpUrl}/api/v1/devices`, {
    headers: { authorization: `Bearer ${String(made['token'])}` },
  });
  expect(asAcme.status).toBe(200);

  for (const device of devices) await device.connect(cloud.mqttUrl);
  const next = lostFrom + AFTER;
  for (const device of devices.slice(1, DEVICES)) {
    const answer = await answered(device, next);
    expect(answer.desired).toEqual({ epoch: restored['epoch'], version: 0 });
    expect(answer.rejected).toEqual([]);
    expect(covers(answer.recorded, next) && covers(answer.recorded, BEFORE - 1)).toBe(true);
    expect(covers(answer.recorded, next - 1)).toBe(false);
  }

  // A start that the old cloud knew and the restored one does not: it begins where the device stands.
  const ofSecondStart = await answered(first, 5, 2);
  expect(ofSecondStart).toMatchObject({ recorded: [[5, 5]], rejected: [] });

  // What a device still holds of the time that is gone is asked for by the gap, and recorded as new.
  await second.publish(held);
  expect(covers((await answered(second, next + 1)).recorded, next - 1)).toBe(true);

  // What nobody holds any more shows as lost, and nothing else does.
  const deliveryOf = async ({ deviceId }: TestDevice) =>
    (await cloud.call('GET', `/devices/${deviceId}`)).body['delivery'] as Record<string, number>;
  const third = await deliveryOf(devices[2] as TestDevice);
  expect(third).toMatchObject({ newestSequence: next, refused: 0, abandoned: 0 });
  expect(third['missing']).toBe(third['lostOrOnTheWay']);
  expect(third['lostOrOnTheWay']).toBeGreaterThanOrEqual(AFTER);
  expect((await deliveryOf(second))['lostOrOnTheWay']).toBe((third['lostOrOnTheWay'] ?? 0) - 1);
  expect(await deliveryOf(first)).toMatchObject({ recorded: 1, missing: 5, lostOrOnTheWay: 5 });

  // A device of which the backup knows nothing is not believed, and told nothing for ever: registered again, it goes on.
  await late.report({ sequence: 1, uptimeMs: 61_000 });
  expect((await registerAgain(late)).status).toBe(201);
  expect(await answered(late, 2)).toMatchObject({ recorded: expect.arrayContaining([[2, 2]]), rejected: [] });

  // The fleet root seals the new epoch, too.
  const { body: lists } = await cloud.call('GET', '/key-lists');
  expect(JSON.stringify(lists)).toContain(`"epoch":${String(restored['epoch'])}`);

  // The log goes on where the backup had it, and says that it was restored.
  const log = await paddock('audit', 'verify', '--data-dir', dataDir, '--url', cloud.httpUrl);
  expect(log).toMatchObject({ verified: true, first: 1 });
  const { body } = await cloud.call('GET', '/audit?action=restore');
  expect(body['items']).toMatchObject([{ result: 'done', detail: { backupId: saved['backupId'] } }]);
  const { body: before } = await cloud.call('GET', '/audit?action=createCustomer');
  expect(before['items']).toHaveLength(1);
});

/** A fleet root that is kept elsewhere, and the file of its passphrase. */
async function moveRootAway(): Promise<string[]> {
  const [root, passphrase] = [join(home, 'fleet-root.pem'), join(home, 'passphrase.txt')];
  await writeFile(passphrase, 'a stick in a safe\n');
  await paddock('root', 'export', root, '--passphrase-file', passphrase, '--remove', '--data-dir', cloud.dataDir);
  return ['--key', root, '--passphrase-file', passphrase];
}

async function claimFor(serialNumber: string): Promise<string> {
  const kit = join(home, 'kit.json');
  await asOperator('factory-keys', 'add', 'drill', '--count', '5', '--kit', kit);
  const [made] = (await printed('claims', 'make', '--kit', kit, serialNumber)) as { claim: string }[];
  return made?.claim ?? expect.unreachable();
}

it(
  'a device with a certificate goes on with it, renews it, and follows the lists of keys past those that were lost',
  {
    timeout: 480_000,
  },
  async () => {
    const pinned = await cloudKey();
    const byRoot = await moveRootAway();
    const member = await Member.open(await claimFor('DR-1'), () => cloud.enrolUrl);
    const { device: deviceId } = await member.ask();
    const device = new TestDevice(deviceId, member.identity, pinned);
    devices.push(device);
    const broker = (): string => member.standing.mqttUrl ?? expect.unreachable();
    await device.connect({ url: broker(), credentials: async () => member.tls });
    await answered(device, 0);

    // For a recipient: what opens it is not where the service is.
    const [file, identity] = [join(home, 'drill.backup'), join(home, 'backup-key.pem')];
    await paddock('backup', 'keygen', identity);
    await paddock('backup', file, '--recipient', `${identity}.pub`, '--data-dir', cloud.dataDir);

    // Lost with the machine: two lists of keys, a certificate, a report.
    for (const version of [2, 3])
      expect(await asOperator('root', 'sign', '--again', ...byRoot)).toMatchObject({ version });
    await member.membership.refreshKeys();
    const before = await member.ask();
    await answered(device, 1);
    await device.close();
    await cloud.destroy();

    const dataDir = join(home, 'restored');
    const { epoch } = await paddock('restore', file, '--identity', identity, '--data-dir', dataDir);
    await expect(access(join(dataDir, 'fleet-root.key.pem'))).rejects.toThrow('ENOENT');
    cloud = await startCloudProcess(at, undefined, dataDir);

    // The root is elsewhere: nothing is sealed by itself, and the device stays with the list that it has.
    await expect(member.membership.refreshKeys()).rejects.toMatchObject({ code: 'key_list_old' });
    // Its certificate, which the restored service does not know of, is one of its authority.
    await device.connect({ url: broker(), credentials: async () => member.tls });
    expect(await answered(device, 2)).toMatchObject({ desired: { epoch, version: 0 }, rejected: [] });

    expect(await asOperator('root', 'sign', ...byRoot)).toMatchObject({ version: 2, epoch });
    await member.membership.refreshKeys();
    expect(member.standing).toMatchObject({ epoch, authorities: before.authorities });
    const renewed = await member.ask();
    expect(renewed.device).toBe(deviceId);
    expect(renewed.certificates).not.toBe(before.certificates);
    await device.close();
    await device.connect({ url: broker(), credentials: async () => member.tls });
    expect(await answered(device, 3)).toMatchObject({ desired: { epoch, version: 0 }, rejected: [] });

    const { body } = await cloud.call('GET', '/audit?action=addKeyList');
    const [sealed, first] = body['items'] as Record<string, unknown>[];
    expect(sealed).toMatchObject({ actor: expect.stringMatching(/^token:/), result: 'done' });
    expect(first).toMatchObject({ actor: 'service', detail: { version: 1, epoch: 0 } });
  },
);
