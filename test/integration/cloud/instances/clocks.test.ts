import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { watchClocks } from '@paddock/cloud/instances/clock-watch.ts';
import { createMember, type Member } from '@paddock/cloud/instances/member.ts';
import { OwnClock } from '@paddock/cloud/instances/own-clock.ts';
import { listInstances } from '@paddock/cloud/instances/register.ts';
import type { Clock } from '@paddock/cloud/ports.ts';
import { databaseNow } from '@paddock/cloud/store/database-clock.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';
import { startHttp, type TestHttp } from '../../../harness/http.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

const CONFIGURED_MS = 100;

let database: FreshDatabase;
let http: TestHttp;
beforeAll(async () => {
  database = await freshDatabase();
  http = await startHttp(database.store);
});
afterAll(async () => {
  await http.close();
  await database.drop();
});
beforeEach(async () => {
  await database.store.query('TRUNCATE instances, notifications');
  await database.store.query(`UPDATE clock_watch SET since = NULL, last_at = NULL, named = '{}'`);
});

/** An instance whose wall clock is wrong by what the test says. */
function instance(instanceId: string, wrong: { ms: number }, claimedMs = CONFIGURED_MS): Member {
  const clock: Clock = { ...systemClock, wall: () => wallMs(systemClock.wall() + wrong.ms) };
  const kernel = { estimate: () => null };
  const ownClock = new OwnClock({ clock, kernel, configuredMs: claimedMs, onStep: () => undefined });
  const identity = { instanceId, host: 'test', version: '0.0.0' };
  const log = pino({ level: 'silent' });
  const parts = { store: database.store, clock, ownClock, metrics: new CountedMetrics(), log, identity };
  return createMember({ ...parts, configuredErrorMs: CONFIGURED_MS });
}

const watched = async () => watchClocks(database.store, await databaseNow(database.store), CONFIGURED_MS);
const told = async () =>
  database.store.query<{ type: string; data: { named: string[] } }>(
    'SELECT type, data FROM notifications ORDER BY notification_id',
  );
const view = async () => (await http.call('GET', '/api/v1/instances')).items;

describe('instances on one database', () => {
  test('whose clocks agree say how right they are, and nothing is told', async () => {
    const members = [instance('one', { ms: 20 }), instance('two', { ms: -20 })];
    for (const member of members) await member.round();
    expect(await watched()).toEqual([]);
    for (const member of members) await member.round();
    expect(members.map(({ disagreement }) => disagreement)).toEqual([null, null]);
    const instances = await view();
    expect(instances.map(({ instanceId, alive }) => [instanceId, alive])).toEqual([
      ['one', true],
      ['two', true],
    ]);
    const { offset, errorMs } = (await listInstances(database.store))[0]?.clock ?? { offset: null, errorMs: 0 };
    // The true offset lies inside of what was measured.
    expect(offset?.lowMs).toBeLessThanOrEqual(20);
    expect(offset?.highMs).toBeGreaterThanOrEqual(20);
    expect(errorMs).toBe(CONFIGURED_MS);
    expect(members[0]?.errors.now()).toBe(CONFIGURED_MS);
  });

  test('name the one whose clock contradicts the others, once, and say once when it is over', async () => {
    const wrong = { ms: 700 };
    const members = [instance('one', { ms: 0 }), instance('wrong', wrong), instance('three', { ms: 0 })];
    const round = async (): Promise<void> => {
      for (const member of members) await member.round();
      await watched();
    };
    await round();
    await round();
    expect(members.map(({ disagreement }) => disagreement !== null)).toEqual([false, true, false]);
    expect(await told()).toMatchObject([{ type: 'cloud.clock-disagrees', data: { named: ['wrong'] } }]);
    expect((await view()).map(({ clock }) => (clock as { disagrees: boolean }).disagrees)).toEqual([
      false,
      true,
      false,
    ]);
    wrong.ms = 0;
    await round();
    // Not over at once: it was found a moment ago.
    expect(await told()).toHaveLength(1);
    await database.store.query(`UPDATE clock_watch SET last_at = last_at - interval '1 minute'`);
    await round();
    await round();
    expect((await told()).map(({ type }) => type)).toEqual(['cloud.clock-disagrees', 'cloud.clock-agrees']);
    expect(members.map(({ disagreement }) => disagreement)).toEqual([null, null, null]);
  });

  test('of which there is only one: it and the database contradict each other, and nobody knows who is right', async () => {
    const member = instance('only', { ms: -5_000 });
    await member.round();
    await watched();
    await member.round();
    expect(member.disagreement).toContain('contradicts');
    expect(await told()).toMatchObject([{ data: { named: ['database', 'only'] } }]);
  });

  test('believe a clock that claims no more than it keeps', async () => {
    await instance('humble', { ms: 5_000 }, 10_000).round();
    await watched();
    expect(await told()).toEqual([]);
  });

  test('count for nothing when they are dead, and are forgotten', async () => {
    await instance('dead', { ms: 86_400_000 }).round();
    await database.store.query(`UPDATE instances SET seen_at = seen_at - interval '31 seconds'`);
    const alive = instance('alive', { ms: 0 });
    await alive.round();
    expect(await watched()).toEqual([]);
    expect((await view()).map(({ instanceId, alive: is }) => [instanceId, is])).toEqual(
      expect.arrayContaining([
        ['dead', false],
        ['alive', true],
      ]),
    );
    await database.store.query(`UPDATE instances SET seen_at = seen_at - interval '1 hour' WHERE instance_id = 'dead'`);
    await alive.round();
    expect((await view()).map(({ instanceId }) => instanceId)).toEqual(['alive']);
  });

  test('are for operators only', async () => {
    const token = await http.tokenOf('instances-customer');
    const { status, body } = await http.call('GET', '/api/v1/instances', { token });
    expect([status, body['code']]).toEqual([403, 'scope_forbidden']);
  });
});
