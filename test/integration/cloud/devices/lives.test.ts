import { afterAll, beforeAll, expect, test } from 'vitest';
import { observe, type ClockRecord, type LivedClock } from '@paddock/cloud/clock/clock.ts';
import type { ClosedEra } from '@paddock/cloud/clock/era.ts';
import { DeviceLife } from '@paddock/cloud/clock/life.ts';
import { packClock, packRegion } from '@paddock/cloud/clock/packed.ts';
import { lifeAround, newestLives } from '@paddock/cloud/devices/lives.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { addDevices } from '../../../harness/archive.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';

const DEVICE = 'kiosk-long';
const HALF_HOUR = 1_800_000;
const DAY = 86_400_000;
const BEGAN = 1_795_464_000_000;
const BOOTS = 6;
const BOOT_MS = 4 * DAY;

let database: FreshDatabase;
const clocks: LivedClock[] = [];

/** Four days of a boot with a crystal 30 ppm slow, on a network that takes from 5 to 100 ms each way. */
function live(boot: number, exchanges: boolean): { record: ClockRecord; closed: ClosedEra[] } {
  const at = (uptimeMs: number, laterMs: number) =>
    wallMs(Math.floor(BEGAN + boot * (BOOT_MS + DAY) + uptimeMs * 1.00003 + laterMs));
  const closed: ClosedEra[] = [];
  let record: ClockRecord | null = null;
  for (let n = 1; n * HALF_HOUR < BOOT_MS; n += 1) {
    const uptimeMs = n * HALF_HOUR;
    const [upMs, downMs] = [5 + ((n * 37) % 95), 5 + ((n * 53) % 95)];
    const exchange = {
      requestUptimeMs: uptimeMs,
      cloudReceivedAt: at(uptimeMs, upMs),
      cloudSentAt: at(uptimeMs, upMs),
      responseUptimeMs: uptimeMs + upMs + downMs,
      cloudErrorMs: 1,
    };
    const receivedAt = at(uptimeMs + 300, upMs);
    const told = exchanges ? [exchange] : [];
    const observed = observe(record, {
      uptimeMs: uptimeMs + 300,
      receivedAt,
      wallMs: null,
      exchanges: told,
      cloudErrorMs: 1,
    });
    record = observed.clock;
    closed.push(...observed.closed);
  }
  if (record === null) throw new Error('Nothing was told');
  return { record, closed };
}

beforeAll(async () => {
  database = await freshDatabase();
  await addDevices(database.store, [DEVICE, 'kiosk-other']);
  for (let boot = 0; boot < BOOTS; boot += 1) {
    const lived = live(boot, boot % 2 === 0);
    const bootId = `boot-${boot}`;
    clocks.push({ bootId, segment: 0, ...lived });
    await database.store.query(
      `INSERT INTO clocks (device_id, boot_id, segment, ordinal, start, record)
       SELECT device_id, $2, 0, 1, $3, $4 FROM unnest($1::text[]) AS device_id`,
      [[DEVICE, 'kiosk-other'], bootId, boot + 1, JSON.stringify(packClock(lived.record))],
    );
    for (const { fromUptimeMs, toUptimeMs, region } of lived.closed)
      await database.store.query('INSERT INTO clock_history VALUES ($1, $2, 0, $3, $4, $5)', [
        DEVICE,
        bootId,
        fromUptimeMs,
        toUptimeMs,
        JSON.stringify(packRegion(region)),
      ]);
  }
});
afterAll(() => database.drop());

/** Moments all over the device's life, whatever arrived later. */
const moments = Array.from({ length: 60 }, (_, n) => ({
  bootId: `boot-${n % BOOTS}`,
  segment: 0,
  uptimeMs: (n * 7_654_321) % BOOT_MS,
  arrivedBy: wallMs(BEGAN + 100 * DAY),
}));
const asked = ({ bootId, segment, uptimeMs }: (typeof moments)[0]) => ({
  boot_id: bootId,
  segment,
  uptime_ms: uptimeMs,
});

test('a moment is placed from the database as by all that was ever known of the device', async () => {
  expect(clocks.flatMap(({ closed }) => closed).length).toBeGreaterThan(20);
  const all = new DeviceLife(clocks);
  const together = await lifeAround(database.store, DEVICE, moments.map(asked));
  for (const moment of moments) {
    const alone = await lifeAround(database.store, DEVICE, [asked(moment)]);
    expect(together.place(moment)).toEqual(all.place(moment));
    expect(alone.place(moment)).toEqual(all.place(moment));
  }
  const bases = new Set(moments.map((moment) => all.place(moment).basis));
  expect(bases).toEqual(new Set(['exchanged', 'extrapolated', 'neighbour']));
});

test('the newest moment of a device that has not exchanged since its boot lies behind the boots before', async () => {
  const lives = await newestLives(database.store, [DEVICE, 'kiosk-none']);
  const newest = clocks.at(-1);
  if (newest === undefined) throw new Error('No clock');
  const { bootId, segment, record } = newest;
  const moment = { bootId, segment, uptimeMs: record.lastUptimeMs, arrivedBy: wallMs(BEGAN + 100 * DAY) };
  expect(lives.get(DEVICE)?.place(moment)).toEqual(new DeviceLife(clocks).place(moment));
  expect(lives.get(DEVICE)?.place(moment).basis).toBe('neighbour');
  expect([...lives.keys()]).toEqual([DEVICE]);
});

test('a device without clocks, and one of another name, are told nothing of these', async () => {
  const [moment] = moments;
  if (moment === undefined) throw new Error('No moment');
  const placed = (await lifeAround(database.store, 'kiosk-none', [asked(moment)])).place(moment);
  expect(placed).toMatchObject({ earliest: null, latest: moment.arrivedBy, basis: 'arrival' });
  expect((await lifeAround(database.store, DEVICE, [])).place(moment)).toMatchObject({ earliest: null });
});
