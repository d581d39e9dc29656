import type { Audit, AuditEntry, Clock } from '../ports.ts';

/** An answer does not wait longer for the audit log: the entry is written when the database is back. */
const WAIT_MS = 2_000;

/** Adds what was done, and resolves when it may be answered: when it is written, or after so long. */
export async function addBeforeAnswer(audit: Audit, clock: Clock, entry: AuditEntry): Promise<void> {
  const stop = new AbortController();
  await Promise.race([audit.add(entry), clock.sleep(WAIT_MS, stop.signal)]);
  stop.abort();
}
