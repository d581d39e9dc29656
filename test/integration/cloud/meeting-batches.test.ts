import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AuthenticReport } from '@paddock/cloud/ingest/authenticate.ts';
import { addStarts } from '@paddock/cloud/ingest/first-contact.ts';
import { recordBatch } from '@paddock/cloud/ingest/record.ts';
import { SeenChanges } from '@paddock/cloud/ingest/seen-changes.ts';
import type { Sql, Store } from '@paddock/cloud/ports.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, waitingForLocks, type FreshDatabase } from '../../harness/database.ts';
import { addDevices } from '../../harness/device.ts';
import { authentic, BOOT_ID } from '../../harness/reports.ts';
import { makeTestKey } from '../../harness/signing.ts';

const BOOTED_AT = Date.now() - 3_600_000;

/** The first report of a start, all starts of one boot, which came so long after it was made. */
function firstOf(device: string, start: number, lateMs = 0): AuthenticReport {
  const uptimeMs = start * 1000;
  const digest = randomBytes(32).toString('base64url');
  return authentic({ device, start, uptimeMs }, { digest, receivedAt: wallMs(BOOTED_AT + uptimeMs + lateMs) });
}

/** A store whose transactions stop before their first write, with all locks of their ledger, until they are let go. */
class GatedStore {
  readonly store: Store;
  readonly #reached = Promise.withResolvers<void>();
  readonly #open = Promise.withResolvers<void>();

  constructor(store: Store) {
    const gated = (sql: Sql): Sql => ({
      query: async (text, values) => {
        if (/^\s*(WITH|INSERT|UPDATE)/.test(text)) await this.#stop();
        return sql.query(text, values);
      },
    });
    this.store = { ...store, transaction: (work) => store.transaction((sql) => work(gated(sql))) };
  }

  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  letGo(): void {
    this.#open.resolve();
  }

  #stop(): Promise<void> {
    this.#reached.resolve();
    return this.#open.promise;
  }
}

describe('batches that meet on boots that nobody has seen', () => {
  let database: FreshDatabase;
  const record = (store: Store, ...batch: AuthenticReport[]) => recordBatch(store, batch, () => 0, new SeenChanges());
  /** Starts are known, and nothing of them is recorded. */
  const met = (...messages: AuthenticReport[]) => database.store.transaction((sql) => addStarts(sql, messages));

  beforeAll(async () => {
    database = await freshDatabase();
    const names = ['kiosk-x', 'kiosk-y', 'kiosk-beside', 'kiosk-in-turn', 'kiosk-older', 'kiosk-torn'];
    await addDevices(
      database.store,
      await Promise.all(names.map(async (deviceId) => ({ deviceId, key: await makeTestKey() }))),
    );
  });
  afterAll(() => database.drop());

  /** Until something has come about, or somebody waits for another's lock. */
  async function orWaits(what: Promise<unknown>): Promise<void> {
    const done = new AbortController();
    const end = (): void => done.abort();
    what.then(end, end);
    while (!done.signal.aborted) {
      if ((await waitingForLocks(database.store)) > 0) return;
      await sleep(10);
    }
  }

  it('never wait for each other', async () => {
    const batchOf = (start: number) => [firstOf('kiosk-x', start), firstOf('kiosk-y', start)];
    const [first, second, third] = [batchOf(1), batchOf(2), batchOf(3)];
    await met(...first, ...second, ...third);
    const [early, late] = [new GatedStore(database.store), new GatedStore(database.store)];

    const one = record(early.store, ...first);
    await early.reached;
    // Makes one of the two boots known, if nobody keeps it from that.
    const between = record(database.store, ...second.slice(1));
    await orWaits(between);
    const other = record(late.store, ...third);
    await orWaits(late.reached);
    early.letGo();
    await orWaits(one);
    late.letGo();

    await Promise.all([one, between, other]);
    const rows = await database.store.query('SELECT start FROM reports ORDER BY start');
    expect(rows.map(({ start }) => start)).toEqual([1, 1, 2, 3, 3]);
  });

  it('lose nothing of what they know of its clock', async () => {
    const [prompt, late] = [firstOf('kiosk-beside', 1, 40), firstOf('kiosk-beside', 2, 90_000)];
    await met(prompt, late);
    const gated = new GatedStore(database.store);

    const beside = record(gated.store, late);
    await gated.reached;
    const other = record(database.store, prompt);
    await orWaits(other);
    gated.letGo();
    await Promise.all([beside, other]);
    await record(database.store, firstOf('kiosk-in-turn', 1, 40));
    await record(database.store, firstOf('kiosk-in-turn', 2, 90_000));

    const known = await knownOf('kiosk-beside');
    expect(known).toMatchObject({ start: 2, uptime_ms: 2000 });
    expect(known).toEqual(await knownOf('kiosk-in-turn'));
  });

  it('make a boot known whose start is known already', async () => {
    const report = firstOf('kiosk-older', 1);
    await met(report);
    await database.store.query(`DELETE FROM boots WHERE device_id = 'kiosk-older'`);
    await record(database.store, report);
    expect(await knownOf('kiosk-older')).toMatchObject({ start: 1, uptime_ms: 1000 });
  });

  it('do not ask for a boot that its start contradicts', async () => {
    const report = firstOf('kiosk-torn', 1);
    await met(report);
    const torn = { ...report, report: { ...report.report, boot: { id: 'another' } } };
    const { decision } = await record(database.store, torn);
    expect(decision.outcomes.map(({ verdict }) => verdict)).toEqual([{ kind: 'refused', code: 'boot_conflict' }]);
    const boots = await database.store.query(`SELECT boot_id FROM boots WHERE device_id = 'kiosk-torn'`);
    expect(boots).toEqual([{ boot_id: BOOT_ID }]);
  });

  /** What is known of the boot of a device. */
  async function knownOf(deviceId: string): Promise<unknown> {
    const [known] = await database.store.query(
      `SELECT b.newest_start AS start, b.newest_uptime_ms AS uptime_ms, c.record -> 'e' AS bounds
       FROM boots b JOIN clocks c USING (device_id, boot_id) WHERE device_id = $1`,
      [deviceId],
    );
    return known;
  }
});
