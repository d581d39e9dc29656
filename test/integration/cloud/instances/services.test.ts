import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { agent, newHome, startAgent } from '../../../harness/agent/cli.ts';
import { startCloudProcess, type CloudProcess } from '../../../harness/cloud-process.ts';
import { freshDatabase, startServer, type FreshDatabase, type Server } from '../../../harness/database.ts';
import { serverByAddress } from '../../../harness/database-by-address.ts';
import { TestDevice } from '../../../harness/device.ts';
import { listenTo, type EventStream, type StreamEvent } from '../../../harness/event-stream.ts';
import { startMosquitto, type Mosquitto } from '../../../harness/mosquitto.ts';
import { makeTestKey } from '../../../harness/signing.ts';

let server: Server;
let database: FreshDatabase;
let broker: Mosquitto;
let first: CloudProcess;
let second: CloudProcess;
const devices: TestDevice[] = [];
/** What was said of presence, by whichever instance. */
const moved: { presence: string; deviceId: string }[] = [];

beforeAll(async () => {
  server = (await serverByAddress()) ?? (await startServer());
  database = await freshDatabase(server);
  broker = await startMosquitto({ guarded: true });
  first = await startCloudProcess(environment());
  second = await startCloudProcess(environment(), first);
  await database.store.listen('paddock_presence', (payload) => void moved.push(JSON.parse(payload)));
  const cloudKey = await makeTestKey();
  for (const n of [0, 1, 2]) {
    const device = await TestDevice.register(database.store, `kiosk-live-${n}`, cloudKey);
    devices.push(await device.connect(broker.url));
  }
});
afterAll(async () => {
  for (const device of devices) await device.close();
  await first.stop();
  await second.stop();
  await broker.stop();
  await database.drop();
  await server.stop();
});

const environment = () => ({
  DATABASE_URL: database.url,
  PADDOCK_BROKER_URL: broker.cloudUrl,
  PADDOCK_LOG_LEVEL: 'error',
});

async function listen({ httpUrl, dataDir }: CloudProcess, lastEventId?: string): Promise<EventStream> {
  const token = (await readFile(join(dataDir, 'operator.token'), 'utf8')).trim();
  const stream = await listenTo(`${httpUrl}/api/v1/events`, {
    authorization: `Bearer ${token}`,
    ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
  });
  onTestFinished(() => stream.close());
  await stream.until(({ event }) => event === 'ready');
  return stream;
}

const told = ({ events }: EventStream) => events.filter(({ event }) => event === 'state').map(stateOf);
const stateOf = ({ data }: StreamEvent) =>
  `${String(data['deviceId'])} ${(data['lastReport'] as { sequence: number } | null)?.sequence}`;

const isRecorded = async ({ deviceId }: TestDevice, sequence: number): Promise<boolean> =>
  (await database.store.query('SELECT FROM reports WHERE (device_id, sequence) = ($1, $2)', [deviceId, sequence]))
    .length > 0;

/** As a device does it: the same bytes again until they are recorded. */
async function report(device: TestDevice, sequence: number): Promise<void> {
  const envelope = await device.seal({ sequence, uptimeMs: 60_000 + sequence, nextWithinMs: 3_600_000 });
  for (let tries = 0; !(await isRecorded(device, sequence)); tries += 1) {
    if (tries % 20 === 0) await device.publish(envelope);
    await sleep(25);
  }
}

const turnsOf = async (job: string): Promise<{ fence: number; holder: string }> => {
  const [row] = await database.store.query<{ fence: number; holder: string }>(
    'SELECT fence, holder FROM leases WHERE job = $1',
    [job],
  );
  return row ?? { fence: 0, holder: '' };
};

async function turnsGoOn(count: number): Promise<string[]> {
  const holders: string[] = [];
  for (let { fence } = await turnsOf('presence'), seen = 0; seen < count;) {
    const turn = await turnsOf('presence');
    if (turn.fence > fence) {
      seen += 1;
      ({ fence } = turn);
      holders.push(turn.holder);
    }
    await sleep(50);
  }
  return holders;
}

const recordedTwice = () =>
  database.store.query(
    'SELECT device_id FROM reports GROUP BY device_id, incarnation, start, sequence HAVING count(*) > 1',
  );

describe('two services on one database and one broker', () => {
  test('both run, and take turns', async () => {
    const { body } = await first.call('GET', '/instances');
    expect(body['items']).toMatchObject([{ alive: true }, { alive: true }]);
    await turnsGoOn(3);
    const jobs = await database.store.query<{ job: string }>('SELECT job FROM leases ORDER BY job');
    expect(jobs.map(({ job }) => job)).toEqual(expect.arrayContaining(['clocks', 'partitions', 'presence']));
  });

  test('of which one stands still for a while: the other does its work, and nobody’s presence flaps', async () => {
    for (const device of devices) await report(device, 0);
    await expect.poll(() => moved.length, { timeout: 20_000 }).toBe(3);
    process.kill(second.pid, 'SIGSTOP');
    try {
      // A turn in which it was stopped lapses after 15 s; then all turns are the other's.
      expect(new Set((await turnsGoOn(6)).slice(-4)).size).toBe(1);
      for (const device of devices) await report(device, 1);
    } finally {
      process.kill(second.pid, 'SIGCONT');
    }
    await turnsGoOn(3);
    expect(await recordedTwice()).toEqual([]);
    expect(moved.map(({ presence }) => presence)).toEqual(['online', 'online', 'online']);
  });

  test('of which one is killed: its listeners go on at the other, exactly where they stood', async () => {
    const here = await listen(first);
    for (const device of devices) await report(device, 2);
    for (const { deviceId } of devices) await here.until((event) => stateOf(event) === `${deviceId} 2`);
    const last = here.events.at(-1)?.id;
    process.kill(first.pid, 'SIGKILL');
    await here.ended;
    await report(devices[0] as TestDevice, 3);
    await report(devices[2] as TestDevice, 3);
    const there = await listen(second, last);
    expect(told(there)).toEqual(['kiosk-live-0 3', 'kiosk-live-2 3']);
    await report(devices[1] as TestDevice, 3);
    await there.until((event) => stateOf(event) === 'kiosk-live-1 3');
    await turnsGoOn(3);
    expect(await recordedTwice()).toEqual([]);
    expect(moved.map(({ presence }) => presence)).toEqual(['online', 'online', 'online']);
  });

  test('of which one is killed in the middle of batches: nothing is lost, and nothing is there twice', async () => {
    first = await startCloudProcess(environment(), second);
    const last = 60;
    const flow = devices.map(async (device) => {
      for (let sequence = 4; sequence <= last; sequence += 4)
        await Promise.all([0, 1, 2, 3].map((n) => report(device, sequence + n)));
    });
    while (!(await isRecorded(devices[0] as TestDevice, 20))) await sleep(1);
    process.kill(first.pid, 'SIGKILL');
    await Promise.all(flow);
    const starts = await database.store.query(
      `SELECT recorded::text FROM starts WHERE device_id LIKE 'kiosk-live-%' GROUP BY recorded`,
    );
    expect(starts).toEqual([{ recorded: `{[0,${last + 4})}` }]);
    expect(await recordedTwice()).toEqual([]);
    expect(moved.map(({ presence }) => presence)).toEqual(['online', 'online', 'online']);
  });

  test('swallow what they were sent when the last one and the broker die, and the agent sends it again', async () => {
    const home = newHome();
    const { out } = await agent(home, 'init', '--device', 'kiosk-agent', '--url', broker.url, '--json');
    const { publicKey } = JSON.parse(out) as { publicKey: object };
    const registered = await second.call('POST', '/devices', { deviceId: 'kiosk-agent', publicKey });
    await writeFile(join(home, 'cloud-keys.json'), JSON.stringify(registered.body['cloudKeys']));
    const config = [
      `device: kiosk-agent`,
      `cloud: { url: ${broker.url} }`,
      `report: { schedule: '* * * * * *', jitterSeconds: 0 }`,
      'ports: { board: { kind: simulated, pollMs: 100 } }',
      'sensors: { door: { kind: binary, urgent: true, source: { port: board, wave: square, periodMs: 1700 } } }',
    ];
    await writeFile(join(home, 'agent.yaml'), config.join('\n'));
    const { child, ended } = startAgent(home, 'run');
    onTestFinished(() => void child.kill('SIGKILL'));
    const sequences = async () => {
      const [row] = await database.store.query<{ recorded: string; newest: number }>(
        `SELECT recorded::text, upper(recorded) AS newest FROM starts WHERE device_id = 'kiosk-agent'`,
      );
      return row ?? { recorded: '', newest: 0 };
    };
    await expect.poll(async () => (await sequences()).newest, { timeout: 30_000 }).toBeGreaterThan(2);
    // Acknowledged by the broker and not recorded by anybody.
    process.kill(second.pid, 'SIGSTOP');
    await sleep(3_000);
    const { newest } = await sequences();
    await broker.restart();
    process.kill(second.pid, 'SIGKILL');
    second = await startCloudProcess(environment(), first);
    await expect.poll(async () => (await sequences()).newest, { timeout: 60_000 }).toBeGreaterThan(newest);
    const isWhole = async () => /^\{\[0,\d+\)\}$/.test((await sequences()).recorded);
    await expect.poll(isWhole, { timeout: 60_000 }).toBe(true);
    child.kill('SIGTERM');
    expect((await ended).code).toBe(0);
    await expect.poll(isWhole, { timeout: 20_000 }).toBe(true);
    expect((await sequences()).newest).toBeGreaterThan(newest + 3);
    expect(await recordedTwice()).toEqual([]);
  }, 120_000);
});
