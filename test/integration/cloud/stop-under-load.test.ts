import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { loadOnlineKey } from '@paddock/cloud/adapters/data-dir.ts';
import { fromMultirange } from '@paddock/cloud/ingest/ranges.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { CLOUD_BROKERS, startCloud, type CloudBroker } from '../../harness/cloud-on-mosquitto.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { TestDevice } from '../../harness/device.ts';
import { makeTestKey } from '../../harness/signing.ts';

const DEVICES = 8;

let database: FreshDatabase;
const devices: TestDevice[] = [];

// The database outlives the service, so that it can be asked afterwards.
beforeEach(async () => {
  database = await freshDatabase();
});
afterEach(async () => {
  await Promise.all(devices.splice(0).map((device) => device.close()));
  await database.drop();
});

async function startWithDevices(broker: CloudBroker): Promise<CloudProcess> {
  const cloud = await startCloud(broker, { DATABASE_URL: database.url });
  const online = await loadOnlineKey(cloud.dataDir);
  const cloudKey = { ...(await makeTestKey()), verification: await importVerificationKey(online.publicJwk) };
  for (let n = 0; n < DEVICES; n++) {
    const device = await TestDevice.register(database.store, `kiosk-stop-${n}`, cloudKey);
    devices.push(await device.connect(cloud.meeting));
  }
  return cloud;
}

/** Reports as fast as it may, several on their way, until the connection ends. */
async function talk(device: TestDevice): Promise<void> {
  for (let sequence = 0; ; sequence += 5)
    await Promise.all(
      [0, 1, 2, 3, 4].map((n) =>
        device.report({ sequence: sequence + n, uptimeMs: 1000 + sequence + n, ask: 'bm9uY2Utbm9uY2U' }),
      ),
    );
}

it.each(CLOUD_BROKERS)(
  'told to stop under load on %s, ends by itself and has every answered report in the archive, once',
  async (broker) => {
    const cloud = await startWithDevices(broker);
    for (const device of devices) void talk(device).catch(() => undefined);
    while (devices.some(({ answers }) => answers.length < 20)) await sleep(10);
    const heard = devices.map((device) => device.heardOut());
    await cloud.stop();
    await Promise.all(heard);
    const answers = devices.flatMap((device) => device.answers);
    const archive = await database.store.query<{ digest: string }>(
      `SELECT encode(digest, 'base64') AS digest FROM reports`,
    );
    const archived = new Set(
      archive.map(({ digest }) => digest.replaceAll('+', '-').replaceAll('/', '_').replace('=', '')),
    );
    expect(archived.size).toBe(archive.length);
    expect(answers.filter(({ digest }) => !archived.has(digest))).toEqual([]);
    const starts = await database.store.query<{ recorded: string }>('SELECT recorded::text FROM starts');
    const known = starts.flatMap(({ recorded }) => fromMultirange(recorded)).map(([first, last]) => last - first + 1);
    expect(known.reduce((sum, count) => sum + count, 0)).toBe(archive.length);
    // What was recorded was answered before the broker closed.
    expect(new Set(answers.map(({ digest }) => digest)).size).toBe(archive.length);
  },
  180_000,
);

it('says where its broker is without the password, and stops although that broker is away', async () => {
  const away = await startCloudProcess({
    DATABASE_URL: database.url,
    PADDOCK_BROKER_URL: 'mqtt://user:hunter2@127.0.0.1:1',
  });
  expect(away.mqttUrl).toBe('mqtt://127.0.0.1:1');
  await away.stop();
}, 30_000);
