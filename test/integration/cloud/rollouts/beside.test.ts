import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ALL_CUSTOMERS } from '@paddock/cloud/customers/scope.ts';
import { setDesired } from '@paddock/cloud/desired/change.ts';
import { readDesired } from '@paddock/cloud/desired/views.ts';
import { retireDevice } from '@paddock/cloud/devices/registry.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { takeBack } from '@paddock/cloud/rollouts/hand-out.ts';
import { assignmentAt, handedDevices } from '@paddock/cloud/rollouts/records.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../../harness/database.ts';
import { startIngest, type TestIngest } from '../../../harness/ingest.ts';
import { addReleases, Operator, releaseOf, UpdatingDevice } from '../../../harness/updating.ts';

const [OLD, NEW] = [releaseOf(1), releaseOf(2)];

let database: FreshDatabase;
let cloud: TestIngest;
let operator: Operator;
let [first, second]: UpdatingDevice[] = [];
let count = 0;

const inTransaction = <T>(work: (sql: Sql) => Promise<T>): Promise<T> => database.store.transaction(work);
const idOf = (one: UpdatingDevice | undefined): string => one?.device.deviceId ?? '';
const firmwareOf = async (one: UpdatingDevice | undefined) =>
  (await readDesired(database.store, ALL_CUSTOMERS, idOf(one))).state['firmware'];

beforeAll(async () => {
  database = await freshDatabase();
  cloud = await startIngest(database.store, { epoch: 0 });
  await addReleases(database.store, [OLD, NEW]);
});
afterAll(async () => {
  await cloud.close();
  await database.drop();
});
beforeEach(async () => {
  operator = new Operator(database.store);
  const join = () => UpdatingDevice.join(database.store, cloud, `kiosk-${(count += 1)}`);
  [first, second] = [await join(), await join()];
});
afterEach(async () => {
  await Promise.all([first?.close(), second?.close()]);
});

describe('a rollout beside others who write', () => {
  /** Takes a release back that was looked at before something else came about. */
  async function takenBackAfter(meanwhile: () => Promise<unknown>): Promise<void> {
    const id = await operator.assign(NEW, { targets: { devices: [idOf(first), idOf(second)] }, cap: 2 });
    await operator.turn();
    await inTransaction(async (sql) => {
      const assignment = await assignmentAt(sql, id);
      const handed = await handedDevices(sql, id);
      await meanwhile();
      if (assignment === null) return expect.fail('there is no such assignment');
      await takeBack(sql, assignment, handed, 'waiting');
    });
  }

  it('leaves what somebody sets while it is taken back', async () => {
    await takenBackAfter(() => inTransaction((sql) => setDesired(sql, 'test', idOf(first), 'firmware', OLD)));
    expect([await firmwareOf(first), await firmwareOf(second)]).toEqual([OLD, undefined]);
  });

  it('is taken back from the others when a device is retired meanwhile', async () => {
    await takenBackAfter(() =>
      inTransaction((sql) =>
        retireDevice(sql, ALL_CUSTOMERS, 'test', { deviceId: idOf(first), expectedVersion: null }),
      ),
    );
    expect([await firmwareOf(first), await firmwareOf(second)]).toEqual([NEW, undefined]);
  });

  it('never waits for a device while it holds one that comes after it', async () => {
    if (second) second.running = NEW;
    await second?.report('committed');
    const id = await operator.assign(NEW, { targets: { devices: [idOf(first), idOf(second)] }, cap: 2 });
    // As ingest does when it hears of new starts of both.
    const lock = (sql: Sql, one: UpdatingDevice | undefined) =>
      sql.query('SELECT FROM devices WHERE device_id = $1 FOR NO KEY UPDATE', [idOf(one)]);
    let turn: Promise<void> | undefined;
    await inTransaction(async (sql) => {
      await lock(sql, first);
      turn = operator.turn();
      while ((await waitingForLocks(database.store)) === 0) await sleep(10);
      await lock(sql, second);
    });
    await turn;
    expect(Object.values(await operator.states(id))).toEqual(['updating', 'updated']);
  });
});
