import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newAuthorityCertificate, openAuthority } from '@paddock/cloud/trust/authority.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { claimFile } from '../../../harness/agent/claimed.ts';
import { newHome, startAgent } from '../../../harness/agent/cli.ts';
import { devicePair, serverPair } from '../../../harness/authority.ts';
import { REGION } from '../../../harness/aws/account.ts';
import { startDataPlane, type DataPlane } from '../../../harness/aws/data-plane.ts';
import { CREDENTIALS, startFakeAws, type FakeAws } from '../../../harness/aws/server.ts';
import { startCloudProcess, type CloudProcess } from '../../../harness/cloud-process.ts';
import { startMosquitto, type Mosquitto } from '../../../harness/mosquitto.ts';
import { newKey } from '../../../harness/openssl.ts';

let folder: string;
let fake: FakeAws;
let mosquitto: Mosquitto;
let plane: DataPlane;
let cloud: CloudProcess;

/** Writes a file that only its owner may read. */
async function secret(name: string, text: string): Promise<string> {
  await writeFile(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'paddock-aws-'));
  fake = await startFakeAws({ slowMs: 0 });
  mosquitto = await startMosquitto();
  const key = newKey();
  const now = wallMs(Date.now());
  // An authority from outside, so that the data plane can show a certificate that devices believe.
  const authority = await openAuthority({ key, certificate: await newAuthorityCertificate(key, now) });
  const service = await devicePair(authority, 'paddock-cloud');
  plane = await startDataPlane(fake, await serverPair(authority), service, mosquitto.port);
  const caCert = await secret('ca.cert.pem', authority.certificatePem);
  cloud = await startCloudProcess({
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    PADDOCK_AWS_IOT_REGION: REGION,
    PADDOCK_AWS_IOT_ENDPOINT: fake.url,
    PADDOCK_CA_CERT: caCert,
    PADDOCK_CA_KEY: await secret('ca.key.pem', key),
    PADDOCK_BROKER_URL: plane.url,
    PADDOCK_BROKER_CA: caCert,
    PADDOCK_BROKER_CERT: await secret('service.cert.pem', service.cert),
    PADDOCK_BROKER_KEY: await secret('service.key.pem', service.key),
    PADDOCK_BROKER_CONNECTIONS: '2',
  });
});
afterAll(async () => {
  await cloud?.stop();
  await plane.close();
  await mosquitto.stop();
  await fake.close();
  await rm(folder, { recursive: true });
});

interface Device {
  readonly deviceId: string;
}
const devices = async (): Promise<Device[]> => (await cloud.call('GET', '/devices')).body['items'] as Device[];

test('the service with AWS IoT configured lets a kiosk in there, records its reports, and removes it when it is retired', async () => {
  const home = newHome();
  const claim = await claimFile(cloud, folder, 'SN-0001');
  // The port is not the one that AWS has for everybody.
  const config = { cloud: { claim, url: plane.url }, report: { schedule: '* * * * * *', jitterSeconds: 0 } };
  await writeFile(join(home, 'agent.yaml'), JSON.stringify(config));
  const running = startAgent(home, 'run');
  const reported = async (): Promise<unknown> => {
    const [device] = await devices();
    if (device === undefined) return null;
    return (await cloud.call('GET', `/devices/${device.deviceId}/state`)).body['sequence'] ?? null;
  };
  await expect.poll(reported, { timeout: 60_000, interval: 200 }).not.toBeNull();
  const [{ deviceId } = { deviceId: '' }] = await devices();
  expect([...fake.account.things.keys()]).toEqual([deviceId]);
  expect([...fake.account.certificates.values()]).toMatchObject([{ status: 'ACTIVE', things: new Set([deviceId]) }]);
  const listed = (await cloud.call('GET', `/devices/${deviceId}/certificates`)).body['items'];
  expect(listed).toMatchObject([{ authority: 'aws-iot', revokedAt: null }]);

  expect((await cloud.call('POST', `/devices/${deviceId}/retire`)).status).toBe(200);
  await expect.poll(() => fake.account.things.size, { timeout: 30_000, interval: 200 }).toBe(0);
  expect([...fake.account.certificates.values()]).toEqual([]);
  running.child.kill('SIGTERM');
  await running.ended;
}, 120_000);
