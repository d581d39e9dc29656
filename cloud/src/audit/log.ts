import type { WallMs } from '@paddock/shared/time.ts';
import type { Audit, AuditEntry, Clock, Log, Sql } from '../ports.ts';
import { entryText } from './entry.ts';
import { Flood, FLOOD_LIMIT, type FloodLimit } from './flood.ts';

const BATCH = 500;
/** Past that an entry goes to the service's log only: the database has been away for long. */
const MAX_WAITING = 10_000;
const RETRY = { firstMs: 100, longestMs: 5_000, times: 100 } as const;

interface Waiting {
  readonly entry: AuditEntry;
  readonly at: WallMs;
  readonly settled: () => void;
}

export interface AuditParts {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly floodLimit?: FloodLimit;
}

/**
 * Writes the audit log: in batches, one after the other, in the order in which entries came. An entry that cannot be
 * written is in the service's log instead.
 */
export class AuditLog implements Audit {
  readonly #parts: AuditParts;
  readonly #flood: Flood;
  readonly #stopping = new AbortController();
  readonly #waiting: Waiting[] = [];
  #writing: Promise<void> | null = null;
  #window: Promise<void> | null = null;

  constructor(parts: AuditParts) {
    this.#parts = parts;
    this.#flood = new Flood(parts.floodLimit);
  }

  async add(entry: AuditEntry): Promise<void> {
    if (!this.#flood.admits(entry)) return void (this.#window ??= this.#endWindow());
    if (entry.result !== 'done') this.#window ??= this.#endWindow();
    await this.#enqueue(entry);
  }

  /** Writes what waits and what was counted, and stops. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#window;
    await this.#writing;
  }

  async #enqueue(entry: AuditEntry): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) return this.#giveUp([entry], 'queue full');
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ entry, at: this.#parts.clock.wall(), settled: resolve });
    this.#writing ??= this.#write();
    await promise;
  }

  async #endWindow(): Promise<void> {
    const { windowMs } = this.#parts.floodLimit ?? FLOOD_LIMIT;
    await this.#parts.clock.sleep(windowMs, this.#stopping.signal);
    this.#window = null;
    await Promise.all(this.#flood.endWindow().map((entry) => this.#enqueue(entry)));
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.slice(0, BATCH);
      await this.#writeBatch(batch);
      this.#waiting.splice(0, batch.length);
      for (const { settled } of batch) settled();
    }
    this.#writing = null;
  }

  async #writeBatch(batch: readonly Waiting[]): Promise<void> {
    const { sql, clock } = this.#parts;
    for (let attempt = 1, pauseMs: number = RETRY.firstMs; ; attempt += 1) {
      try {
        return await writeEntries(sql, batch);
      } catch (cause) {
        const entries = batch.map(({ entry }) => entry);
        if (attempt === RETRY.times || this.#stopping.signal.aborted) return this.#giveUp(entries, cause);
      }
      await clock.sleep(pauseMs, this.#stopping.signal);
      pauseMs = Math.min(pauseMs * 2, RETRY.longestMs);
    }
  }

  #giveUp(entries: readonly AuditEntry[], cause: unknown): void {
    for (const entry of entries)
      this.#parts.log.error(
        { code: 'audit_not_written', err: cause, entry },
        'An entry of the audit log could not be written',
      );
  }
}

/**
 * Appends entries as one statement: all or none. For programs that work on the database without the service, too.
 * An entry that names a device and no customer belongs to the device's customer of this moment.
 */
export async function writeEntries(
  sql: Sql,
  entries: readonly { readonly entry: AuditEntry; readonly at: WallMs }[],
): Promise<void> {
  const customers = await customersOf(
    sql,
    entries.map(({ entry }) => entry),
  );
  const texts = entries.map(({ entry, at }) => entryText(entry, at, customers.get(entry.deviceId ?? '')));
  await sql.query(
    `INSERT INTO audit_log (entry)
     SELECT told FROM unnest($1::text[]) WITH ORDINALITY AS e (told, place) ORDER BY place`,
    [texts],
  );
}

async function customersOf(sql: Sql, entries: readonly AuditEntry[]): Promise<ReadonlyMap<string, string>> {
  const ids = new Set(
    entries.flatMap(({ deviceId, customerId }) => (customerId === undefined ? (deviceId ?? []) : [])),
  );
  // Texts of strangers, too: what PostgreSQL cannot hold is no device's id.
  const known = [...ids].filter((id) => /^[a-z0-9-]{3,36}$/.test(id));
  if (known.length === 0) return new Map();
  const rows = await sql.query<{ device_id: string; customer_id: string }>(
    'SELECT device_id, customer_id FROM devices WHERE device_id = ANY($1)',
    [known],
  );
  return new Map(rows.map((row) => [row.device_id, row.customer_id]));
}
