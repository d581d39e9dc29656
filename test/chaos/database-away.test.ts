import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { BurstDevice, newTally } from '../bench/burst-device.ts';
import { writeScript } from '../bench/burst-script.ts';
import { collect } from './evidence.ts';
import { judge } from './judge.ts';
import { eventually } from './waiting.ts';
import { warnings } from './warnings.ts';
import { World } from './world.ts';
import { makeTestKey } from '../harness/signing.ts';

/** How long the database is away each time: `PADDOCK_AWAY_SECONDS=300` makes it minutes. */
const AWAY_MS = Number(process.env['PADDOCK_AWAY_SECONDS'] || 15) * 1000;
/** Beside the kiosks, devices that catch up: more than the cloud keeps in memory. */
const DEVICES = 60;
const BACKLOG = 150;
const TICK_MS = 10;
/** The queue is bounded: without that it would pass this, and it needs about half. */
const MOST_MIB = 600;

let world: World;
const devices: BurstDevice[] = [];
let timer: NodeJS.Timeout | undefined;

beforeEach(async () => {
  world = await World.build('mosquitto', 5);
  await world.begin(2);
});
afterEach(async ({ task }) => {
  clearInterval(timer);
  for (const device of devices) device.close();
  // Whatever happened: a stopped PostgreSQL does not end.
  await world.database.signalAll('SIGCONT');
  await world.close(task.result?.state === 'fail');
});

async function beginToCatchUp(port: number): Promise<void> {
  const tally = newTally();
  for (let n = 0; n < DEVICES; n += 1) {
    const deviceId = `kiosk-behind-${n}`;
    const key = await makeTestKey();
    await world.call('POST', '/devices', { deviceId, publicKey: key.publicJwk });
    const script = await writeScript(deviceId, key.signing, { backlog: BACKLOG, lives: 0 });
    devices.push(new BurstDevice(script, port, tally, performance.now()));
  }
  timer = setInterval(() => {
    for (const device of devices) device.tick(performance.now());
  }, TICK_MS);
  await eventually('devices that catch up', async () => devices.every(({ isOpen }) => isOpen));
}

const statusOf = async (path: string): Promise<number> => {
  const port = world.clouds[0]?.port('http');
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000) });
  return answer.status;
};

/** Alive, and not ready: whoever asks is told so, and the service goes on. */
async function isAway(): Promise<void> {
  await eventually('a service that is not ready', async () => (await statusOf('/readyz')) === 503);
  const until = performance.now() + AWAY_MS;
  while (performance.now() < until) {
    expect(await statusOf('/healthz')).toBe(200);
    await sleep(500);
  }
}

const recorded = (): Promise<number> =>
  world.database.read(async (sql) => {
    const [row] = await sql.query<{ n: number }>('SELECT count(*) AS n FROM reports');
    return row?.n ?? 0;
  });

it(
  'goes on without its database, frozen and gone, and has everything when it is back',
  { timeout: 600_000 + 4 * AWAY_MS },
  async () => {
    await beginToCatchUp(world.brokerPort());
    const { database } = world;

    await database.signalAll('SIGSTOP');
    await isAway();
    await database.signalAll('SIGCONT');
    const afterFreeze = await recorded();
    await eventually('reports after the freeze', async () => (await recorded()) > afterFreeze + 100);

    await database.leave();
    await isAway();
    await database.comeBack();
    const afterAbsence = await recorded();
    await eventually('reports after the absence', async () => (await recorded()) > afterAbsence + 100);

    await eventually('everybody to have caught up', async () => devices.every(({ isDone }) => isDone));
    await world.settle();
    const { kiosks, around } = await collect(world);
    const verdict = judge(kiosks);
    expect(verdict.findings).toEqual([]);
    expect(verdict.events).toMatchObject({ lost: 0, repeated: 0 });
    const [behind] = await database.read((sql) =>
      sql.query<{ n: number; different: number }>(
        `SELECT count(*) AS n, count(DISTINCT (device_id, sequence)) AS different FROM reports WHERE device_id LIKE 'kiosk-behind-%'`,
      ),
    );
    const all = DEVICES * (BACKLOG + 2);
    expect(behind).toEqual({ n: all, different: all });
    // Nobody gave up, and the cloud tried again by itself.
    expect(around.ownEnds).toEqual({ agent: [], cloud: [] });
    expect(world.clouds.map(({ process }) => process.lives)).toEqual([1, 1]);
    expect(Object.keys(warnings(around.logs.cloud)).join()).toMatch(/ECONN|57P01|57P03|does not take reports/);
    expect(around.peakMiB.cloud).toBeLessThan(MOST_MIB);
  },
);
