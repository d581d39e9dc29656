import { randomUUID } from 'node:crypto';
import type { Sql, Store } from '../ports.ts';
import { AwsTransportError } from './errors.ts';

/** Longer than any single call of AWS may take; every write begins it anew. */
const HOLD_MS = 60_000;

/** The right to work on one device in AWS IoT. */
export interface Hold {
  readonly deviceId: string;
  /**
   * One transaction that fails as a whole when the hold was lost; to be asked for before each call, too.
   * @throws AwsTransportError `aws_hold_lost`
   */
  write<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
}

const TAKE = `
  UPDATE aws_things SET held_by = $2, held_until = clock_timestamp() + $3 * interval '1 millisecond'
  WHERE device_id = $1 AND held_until <= clock_timestamp() RETURNING device_id`;

// As everybody who takes certificates of the device back: its row first, so that neither waits for the other in a circle.
const LOCK = 'SELECT FROM devices WHERE device_id = $1 FOR KEY SHARE';

const RENEW = `
  UPDATE aws_things SET held_until = clock_timestamp() + $3 * interval '1 millisecond'
  WHERE device_id = $1 AND held_by = $2 AND held_until > clock_timestamp() RETURNING device_id`;

const GIVE_BACK = "UPDATE aws_things SET held_until = '-infinity' WHERE device_id = $1 AND held_by = $2";

/**
 * Does some work on one device while nobody else does, on any instance.
 * @throws AwsTransportError `aws_busy`
 */
export async function holding<T>(store: Store, deviceId: string, work: (hold: Hold) => Promise<T>): Promise<T> {
  const holder = randomUUID();
  const taken = await store.query(TAKE, [deviceId, holder, HOLD_MS]);
  if (taken.length === 0) throw new AwsTransportError('aws_busy', deviceId);
  const write: Hold['write'] = (change) =>
    store.transaction(async (sql) => {
      await sql.query(LOCK, [deviceId]);
      const renewed = await sql.query(RENEW, [deviceId, holder, HOLD_MS]);
      if (renewed.length === 0) throw new AwsTransportError('aws_hold_lost', deviceId);
      return change(sql);
    });
  try {
    return await work({ deviceId, write });
  } finally {
    // A database that is away cannot be told: the hold runs out by itself.
    await store.query(GIVE_BACK, [deviceId, holder]).catch(() => undefined);
  }
}
