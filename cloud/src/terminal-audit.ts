import { hostname, userInfo } from 'node:os';
import { systemClock } from './adapters/system-clock.ts';
import { writeEntries } from './audit/log.ts';
import { openOwnDatabase, type BackupPlace } from './own-database.ts';
import type { AuditEntry, Sql } from './ports.ts';

/** What a command that works on the service's own keys or database leaves in the audit log. */
export const terminalEntry = (action: string, detail: AuditEntry['detail']): AuditEntry => ({
  actor: `terminal:${userInfo().username}`,
  action,
  result: 'done',
  detail: { host: hostname(), ...detail },
});

export const tell = (sql: Sql, entry: AuditEntry): Promise<void> =>
  writeEntries(sql, [{ entry, at: systemClock.wall() }]);

/** Writes an entry to the log of the service that is at this place. @returns false when there is none */
export async function tellAuditLog(place: BackupPlace, entry: AuditEntry): Promise<boolean> {
  try {
    await using started = new AsyncDisposableStack();
    const bulk = await openOwnDatabase(place, started);
    const [row] = await bulk.query<{ known: boolean }>("SELECT to_regclass('public.audit_log') IS NOT NULL AS known");
    if (row?.known !== true) return false;
    await tell(bulk, entry);
    return true;
  } catch {
    return false;
  }
}

/** Does it; when that fails, the log of the place says so, if there is one that can be reached. */
export async function toldWhenFailed<T>(
  place: BackupPlace,
  { action, detail }: { readonly action: string; readonly detail: AuditEntry['detail'] },
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'failed';
    await tellAuditLog(place, { ...terminalEntry(action, detail), result: 'failed', code });
    throw error;
  }
}
