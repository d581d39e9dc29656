import type { WallMs } from '@paddock/shared/time.ts';
import type { Clock, Log, Metrics, Store } from '../ports.ts';
import { fenced, finishLease, LeaseLostError, takeLease, type Lease, type LeaseTerms } from './lease.ts';

/** Work that runs once in the fleet at a time, on whichever instance comes first when it is due. */
export interface Job extends LeaseTerms {
  /** When it is tried again after a failure. */
  readonly retryMs: number;
  /**
   * @param store writes only while the lease is held
   * @param now the database's clock, when the turn began
   */
  work(store: Store, now: WallMs): Promise<void>;
}

export interface ElectedParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Names this process among the instances; new at every start. */
  readonly instanceId: string;
}

/** Not asked more often than this, whatever the database says: its clock may have been set. */
const SHORTEST_WAIT_MS = 50;
/** Asked at least this often, so that a holder that died early is found soon. */
const LONGEST_WAIT_MS = 60_000;

/** Takes turns with the other instances until aborted. A failure is told once, and tried again. */
export async function runElected(parts: ElectedParts, job: Job, signal: AbortSignal): Promise<void> {
  let failing = false;
  while (!signal.aborted) {
    const turn = await takeTurn(parts, job).catch((error: unknown) => ({ error, waitMs: job.retryMs }));
    const failed = 'error' in turn;
    if (failed && !failing) parts.log.error({ err: turn.error, job: job.job }, 'A job failed; trying until it works');
    if (failing && !failed && turn.ran) parts.log.info({ job: job.job }, 'The job works again');
    failing = failed || (failing && !turn.ran);
    await parts.clock.sleep(Math.min(LONGEST_WAIT_MS, Math.max(SHORTEST_WAIT_MS, turn.waitMs)), signal);
  }
}

/**
 * Runs the job if it is this instance's turn.
 * @returns whether it ran, and how long until it may be the next one's turn
 * @throws what the job threw; by then it is given back, to be tried again by anybody
 */
export async function takeTurn(parts: ElectedParts, job: Job): Promise<{ ran: boolean; waitMs: number }> {
  const turn = await takeLease(parts.store, job, parts.instanceId);
  if (turn.lease === null) return { ran: false, waitMs: turn.dueInMs };
  try {
    await job.work(fenced(parts.store, turn.lease), turn.lease.takenAt);
  } catch (error) {
    await conclude(parts, turn.lease, error instanceof LeaseLostError ? 'lost' : 'failed', job.retryMs);
    throw error;
  }
  await conclude(parts, turn.lease, 'done', job.everyMs);
  return { ran: true, waitMs: job.everyMs };
}

async function conclude(parts: ElectedParts, lease: Lease, outcome: string, nextInMs: number): Promise<void> {
  parts.metrics.count('paddock_jobs_total', { job: lease.job, outcome });
  // A database that is away cannot be told: the lease runs out by itself.
  await finishLease(parts.store, lease, nextInMs).catch(() => undefined);
}
