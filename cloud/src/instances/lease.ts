import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { Sql, Store } from '../ports.ts';

/** How often a job runs, and how long its holder may stand still before another instance takes it over. */
export interface LeaseTerms {
  readonly job: string;
  readonly everyMs: number;
  readonly leaseMs: number;
}

/** The right to run a job once. `fence` grows with every holder: an older one never writes again. */
export interface Lease extends LeaseTerms {
  readonly holder: string;
  readonly fence: number;
  /** By the database's clock, when the lease was taken. */
  readonly takenAt: WallMs;
}

export type Turn = { readonly lease: Lease } | { readonly lease: null; readonly dueInMs: number };

/** The job was taken over, or its lease ran out: what this holder was about to write is rolled back. */
export class LeaseLostError extends Error {
  override readonly name = 'LeaseLostError';
  readonly code = 'lease_lost';
  constructor(job: string) {
    super(`The lease of the job "${job}" was lost`);
  }
}

// A row that another instance works under is locked: skipped, never waited for. Times further ahead than the terms
// allow come from before the database's clock was set back, and hold nobody up.
const TAKE = `
  UPDATE leases l SET holder = $2, fence = l.fence + 1, until = t.now + $3 * interval '1 millisecond'
  FROM (SELECT job, clock_timestamp() AS now FROM leases WHERE job = $1 FOR UPDATE SKIP LOCKED) t
  WHERE l.job = t.job
    AND NOT (l.until > t.now AND l.until <= t.now + $3 * interval '1 millisecond')
    AND NOT (l.due_at > t.now AND l.due_at <= t.now + $4 * interval '1 millisecond')
  RETURNING l.fence, t.now`;

const DUE = `
  SELECT extract(epoch FROM greatest(until, due_at) - clock_timestamp())::double precision * 1000 AS "dueInMs"
  FROM leases WHERE job = $1`;

const RENEW = `
  UPDATE leases SET until = clock_timestamp() + $4 * interval '1 millisecond'
  WHERE job = $1 AND holder = $2 AND fence = $3 AND until > clock_timestamp()
  RETURNING set_config('idle_in_transaction_session_timeout', $4::bigint::text, true)`;

const FINISH = `
  UPDATE leases SET until = clock_timestamp(), due_at = clock_timestamp() + $4 * interval '1 millisecond'
  WHERE job = $1 AND holder = $2 AND fence = $3`;

/** Takes the job if it is due and nobody is at it; otherwise says how long that will be. */
export async function takeLease(sql: Sql, terms: LeaseTerms, holder: string): Promise<Turn> {
  const { job, everyMs, leaseMs } = terms;
  const [taken] = await sql.query<{ fence: number; now: Date }>(TAKE, [job, holder, leaseMs, everyMs]);
  if (taken) return { lease: { ...terms, holder, fence: taken.fence, takenAt: wallMs(taken.now.getTime()) } };
  const [row] = await sql.query<{ dueInMs: number }>(DUE, [job]);
  if (row) return { lease: null, dueInMs: row.dueInMs };
  await sql.query('INSERT INTO leases (job) VALUES ($1) ON CONFLICT DO NOTHING', [job]);
  return { lease: null, dueInMs: 0 };
}

/** Gives the job back until its next time. Changes nothing if somebody else has it by now. */
export async function finishLease(sql: Sql, { job, holder, fence }: Lease, nextInMs: number): Promise<void> {
  await sql.query(FINISH, [job, holder, fence, nextInMs]);
}

/**
 * The store as the holder of a lease may use it: every transaction renews the lease first and so holds its row until
 * the end. A holder that stands still within a transaction loses that to the database after the lease's length.
 * @throws LeaseLostError from every transaction and query once the lease is lost
 */
export function fenced(store: Store, lease: Lease): Store {
  const transaction: Store['transaction'] = (work) =>
    store.transaction(async (sql) => {
      const { job, holder, fence, leaseMs } = lease;
      const renewed = await sql.query(RENEW, [job, holder, fence, leaseMs]);
      if (renewed.length === 0) throw new LeaseLostError(job);
      return work(sql);
    });
  return { ...store, transaction, query: (text, values) => transaction((sql) => sql.query(text, values)) };
}
