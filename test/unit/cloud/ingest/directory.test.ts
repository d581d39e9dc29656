import { beforeEach, describe, expect, it } from 'vitest';
import { StoredKeyDirectory } from '@paddock/cloud/ingest/directory.ts';
import type { Clock, Sql } from '@paddock/cloud/ports.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { makeTestKey, type TestKey } from '../../../harness/signing.ts';

/** Rows of the query, and every list of ids that was asked for. */
class FakeRows implements Sql {
  readonly asked: string[][] = [];
  readonly rows = new Map<string, { retired: boolean; revoked?: boolean; jwk: object | null }[]>();
  before: () => Promise<void> = async () => undefined;

  async query<Row extends object>(_text: string, values: readonly unknown[] = []): Promise<Row[]> {
    const [ids] = values as [string[]];
    this.asked.push(ids);
    const found = ids.flatMap((id) => (this.rows.get(id) ?? []).map((row) => ({ device_id: id, ...row })));
    await this.before();
    return found as object[] as Row[];
  }
}

describe('the directory of device keys', () => {
  let sql: FakeRows;
  let now: number;
  let directory: StoredKeyDirectory;
  let key: TestKey;

  beforeEach(async () => {
    sql = new FakeRows();
    now = 0;
    const clock: Clock = { wall: () => wallMs(now), monotonic: () => now, sleep: async () => undefined };
    directory = new StoredKeyDirectory(sql, clock);
    key = await makeTestKey();
    sql.rows.set('kiosk-1', [{ retired: false, jwk: key.publicJwk }]);
  });
  const keyOf = (id: string) => directory.keyOf(id, key.signing.keyId);
  const codeOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'found',
      (cause: unknown) => (cause instanceof Refusal ? cause.code : cause),
    );

  it('asks the database once, for many devices in one query', async () => {
    sql.rows.set('kiosk-2', [{ retired: false, jwk: key.publicJwk }]);
    await Promise.all([keyOf('kiosk-1'), keyOf('kiosk-2'), keyOf('kiosk-1')]);
    await keyOf('kiosk-1');
    expect(sql.asked).toEqual([['kiosk-1', 'kiosk-2']]);
  });

  it('tells strangers, retired devices and foreign keys apart, and remembers strangers too', async () => {
    sql.rows.set('kiosk-2', [{ retired: true, jwk: key.publicJwk }]);
    sql.rows.set('kiosk-3', [{ retired: false, jwk: null }]);
    expect(await codeOf(keyOf('kiosk-0'))).toBe('device_unknown');
    expect(await codeOf(keyOf('kiosk-0'))).toBe('device_unknown');
    expect(await codeOf(keyOf('kiosk-2'))).toBe('device_retired');
    expect(await codeOf(keyOf('kiosk-3'))).toBe('key_unknown');
    expect(sql.asked).toHaveLength(3);
  });

  it('tells a key that was taken back from one that it never knew, and takes the one that came after it', async () => {
    const next = await makeTestKey();
    sql.rows.set('kiosk-1', [
      { retired: false, revoked: true, jwk: key.publicJwk },
      { retired: false, revoked: false, jwk: next.publicJwk },
    ]);
    expect(await codeOf(keyOf('kiosk-1'))).toBe('key_revoked');
    expect(await codeOf(directory.keyOf('kiosk-1', next.signing.keyId))).toBe('found');
  });

  it('reads again what it was told to forget, and what is old', async () => {
    await keyOf('kiosk-1');
    sql.rows.set('kiosk-1', [{ retired: true, jwk: key.publicJwk }]);
    expect(await codeOf(keyOf('kiosk-1'))).toBe('found');
    directory.forget('kiosk-1');
    expect(await codeOf(keyOf('kiosk-1'))).toBe('device_retired');
    sql.rows.set('kiosk-1', []);
    now += 60_001;
    expect(await codeOf(keyOf('kiosk-1'))).toBe('device_unknown');
  });

  it('does not remember what changed while it was being read', async () => {
    sql.before = async () => directory.forget('kiosk-1');
    await keyOf('kiosk-1');
    sql.before = async () => undefined;
    sql.rows.set('kiosk-1', [{ retired: true, jwk: key.publicJwk }]);
    expect(await codeOf(keyOf('kiosk-1'))).toBe('device_retired');
  });

  it('fails with the database, and works again with it', async () => {
    sql.before = () => Promise.reject(new Error('away'));
    await expect(keyOf('kiosk-1')).rejects.toThrow('away');
    sql.before = async () => undefined;
    expect(await codeOf(keyOf('kiosk-1'))).toBe('found');
  });
});
