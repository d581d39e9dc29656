import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { addKiosks, addReleases, Operator, releaseOf, UpdatingDevice } from '../../../harness/updating.ts';

const PROGRAM = join(import.meta.dirname, '../../../../cloud/bin/paddock.cjs');
const [OLD, NEW, BAD] = [releaseOf(1), releaseOf(2), releaseOf(3)];

let database: FreshDatabase;
let http: TestHttp;
let cloud: TestIngest;
let kiosk: UpdatingDevice;
const working = new AbortController();
let work: Promise<void>;

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** One run of the program, as a user types it. */
const paddock = (...args: string[]): Promise<Told> =>
  new Promise((resolve) => {
    const all = [PROGRAM, ...args, '--url', http.url, '--token', http.operator];
    execFile(process.execPath, all, (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });

/** The job, as often as a service does it. */
async function keepWorking(operator: Operator): Promise<void> {
  while (!working.signal.aborted) {
    await operator.turn();
    await systemClock.sleep(200, working.signal);
  }
}

beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
  cloud = await startIngest(database.store, { epoch: 0 });
  await addReleases(database.store, [OLD, NEW, BAD]);
  await addKiosks(database.store, ['away-1'], 'lost');
  kiosk = await UpdatingDevice.join(database.store, cloud, 'kiosk-1');
  work = keepWorking(new Operator(database.store));
});
afterAll(async () => {
  working.abort();
  await work;
  await kiosk.close();
  await cloud.close();
  await http.close();
  await database.drop();
});

test('assigns a release and tells how far it is, until it is what runs', async () => {
  const assigned = paddock('devices', 'assign', `kiosk@${NEW.version}`, 'kiosk-1', '--wait');
  await kiosk.update(NEW);
  const { code, out, err } = await assigned;
  expect([code, err]).toEqual([0, '']);
  expect(out).toMatch(/^\S+Z {2}assignment 1 {2}kiosk 1\.1\.0 \(2\) {2}active {2}1 waiting$/m);
  expect(out).toMatch(/^\S+Z {2}kiosk-1 {2}updated$/m);
  expect(out).toMatch(/^state {2,}completed$/m);
  const { out: history } = await paddock('devices', 'firmware', 'kiosk-1', '--history');
  expect(history.split('\n').slice(1)).toEqual([
    expect.stringMatching(/ kiosk 1\.1\.0 \(2\) +b +AAAAAAAAAAA\/1\/4$/),
    expect.stringMatching(/ kiosk 1\.0\.0 \(1\) +a +AAAAAAAAAAA\/1\/1$/),
    '',
  ]);
});

test('ends with 1 when a device could not, and says why', async () => {
  const assigned = paddock('devices', 'assign', `kiosk/${BAD.counter}`, 'kiosk-1', '--wait', '--json');
  await kiosk.fail(BAD);
  const { code, out } = await assigned;
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ state: 'completed', totals: { failed: 1, updated: 0 } });
  const { out: shown } = await paddock('assignments', 'show', '2');
  expect(shown).toMatch(/^kiosk-1 +failed \(health_probe_failed\) .* it ended with 1$/m);
});

test('assigns by a filter, and cancels', async () => {
  const window = ['--window', 'Europe/Zurich 22:00-05:00 mon,tue'];
  const made = await paddock('devices', 'assign', 'kiosk/1', '--presence', 'lost', '--cap', '2', ...window, '--json');
  expect(JSON.parse(made.out)).toMatchObject({
    filter: { presence: 'lost' },
    cap: 2,
    options: { window: { zone: 'Europe/Zurich', from: '22:00', to: '05:00', days: ['mon', 'tue'] } },
    totals: { waiting: 1 },
  });
  const { out } = await paddock('assignments', 'cancel', '3');
  expect(out).toMatch(/^state {2,}cancelled\ndevices {2,}1 cancelled\nfor {2,}presence lost$/m);
});

test('refuses what cannot be meant, with its code', async () => {
  const { code, err } = await paddock('devices', 'assign', 'kiosk', 'kiosk-1');
  expect([code, err.includes('(release_unknown)')]).toEqual([1, true]);
});
