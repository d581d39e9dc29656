import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { ChainWalk } from '@paddock/cloud/audit/chain.ts';
import { AuditLog } from '@paddock/cloud/audit/log.ts';
import { forgetAudit } from '@paddock/cloud/audit/retention.ts';
import type { AuditEntry } from '@paddock/cloud/ports.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { freshDatabase, type FreshDatabase } from '../../../harness/database.ts';

let database: FreshDatabase;
beforeAll(async () => {
  database = await freshDatabase();
}, 60_000);
afterAll(() => database.drop());

interface Row {
  seq: number;
  entry: string;
  previous: Buffer;
  hash: Buffer;
}

const rows = (): Promise<Row[]> => database.store.query<Row>('SELECT * FROM audit_log ORDER BY seq');

const openLog = (): AuditLog =>
  new AuditLog({ sql: database.store, clock: systemClock, log: pino({ level: 'silent' }) });

const done = (action: string, rest: Partial<AuditEntry> = {}): AuditEntry => ({
  actor: 'token:one',
  action,
  result: 'done',
  ...rest,
});

it('chains the entries of several writers without a gap, each holding the hash of the one before', async () => {
  const logs = [openLog(), openLog(), openLog()];
  await Promise.all(logs.flatMap((log) => Array.from({ length: 30 }, (_, index) => log.add(done(`act${index}`)))));
  await Promise.all(logs.map((log) => log.close()));
  const written = await rows();
  expect(written.map(({ seq }) => seq)).toEqual(Array.from({ length: 90 }, (_, index) => index + 1));
  let previous = Buffer.alloc(32);
  for (const row of written) {
    const seq = Buffer.alloc(8);
    seq.writeBigInt64BE(BigInt(row.seq));
    expect(row.previous).toEqual(previous);
    previous = createHash('sha256').update(previous).update(seq).update(row.entry).digest();
    expect(row.hash).toEqual(previous);
  }
});

it('keeps the order of one writer, and cleans what a stranger says', async () => {
  const log = openLog();
  const before = (await rows()).length;
  await Promise.all([
    log.add(done('first', { deviceId: 'kiosk-\0\ud800\u001b[2J', detail: { long: 'x'.repeat(9_999) } })),
    log.add(done('second')),
  ]);
  await log.close();
  const written = (await rows()).slice(before).map(({ entry }) => JSON.parse(entry) as AuditEntry);
  expect(written.map(({ action }) => action)).toEqual(['first', 'second']);
  expect(written[0]?.deviceId).toBe('kiosk-\u{fffd}\u{fffd}\u{fffd}[2J');
  expect(written[0]?.detail?.['long']).toHaveLength(500);
});

it('writes a bounded part of a flood of refusals, and counts the rest', async () => {
  const log = openLog();
  const before = (await rows()).length;
  const refused = Array.from({ length: 10_000 }, (_, index) =>
    log.add({
      actor: 'unknown',
      action: 'enrol',
      result: 'refused',
      code: 'nonce_unknown',
      address: `10.0.0.${index % 9}`,
    }),
  );
  const known = log.add({ actor: 'device:kiosk-1', action: 'connect', result: 'refused', code: 'key_revoked' });
  await Promise.all(refused);
  await known;
  await log.close();
  const written = (await rows()).slice(before).map(({ entry }) => JSON.parse(entry) as AuditEntry);
  expect(written).toHaveLength(9 * 5 + 1 + 1);
  expect(written.filter(({ action }) => action === 'connect')).toHaveLength(1);
  expect(written.at(-1)?.detail).toMatchObject({ notWritten: 10_000 - 45 });
});

it('refuses to be changed', async () => {
  const log = openLog();
  await log.add(done('kept'));
  await log.close();
  const [before] = await database.store.query('SELECT count(*) FROM audit_log');
  for (const statement of [
    "UPDATE audit_log SET entry = '{}' WHERE seq = 1",
    'DELETE FROM audit_log WHERE seq = 1',
    'DELETE FROM audit_log',
    'TRUNCATE audit_log',
  ])
    await expect(database.store.query(statement)).rejects.toMatchObject({ code: 'PDAUD' });
  expect(await database.store.query('SELECT count(*) FROM audit_log')).toEqual([before]);
});

it('lets retention take the oldest only, and says so in the log', async () => {
  const { store } = database;
  const forget = (where: string) =>
    store.transaction(async (sql) => {
      await sql.query("SELECT set_config('paddock.audit_retention', 'yes', true)");
      await sql.query(`DELETE FROM audit_log WHERE ${where}`);
    });
  await expect(forget('seq = 5')).rejects.toMatchObject({ code: 'PDAUD' });
  await expect(forget('true')).rejects.toMatchObject({ code: 'PDAUD' });
  const [, , third] = await rows();
  await forget('seq <= 3');
  const left = await rows();
  expect(left[0]?.seq).toBe(4);
  const walk = new ChainWalk();
  for (const { seq, entry, previous, hash } of left)
    walk.take({ seq, entry, previous: previous.toString('hex'), hash: hash.toString('hex') });
  expect(walk.end().first).toBe(4);
  expect(JSON.parse(left.at(-1)?.entry ?? '')).toMatchObject({
    actor: 'service',
    action: 'forgetAudit',
    detail: { first: 1, last: 3, hash: third?.hash.toString('hex') },
  });
});

it('forgets by age: the oldest, in turns, and never the newest', async () => {
  const tomorrow = wallMs(Date.now() + 2 * 86_400_000);
  const count = (await rows()).length;
  expect(await forgetAudit(database.store, tomorrow, { retentionDays: 0 })).toBe(0);
  expect(await forgetAudit(database.store, wallMs(Date.now()), { retentionDays: 1 })).toBe(0);
  expect(await forgetAudit(database.store, tomorrow, { retentionDays: 1, rows: 10 })).toBe(10);
  expect(await forgetAudit(database.store, tomorrow, { retentionDays: 1 })).toBe(count - 10);
  expect(await rows()).toHaveLength(2);
});
