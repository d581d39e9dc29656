import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Scope } from '../customers/scope.ts';
import type { AuditEntry, Sql } from '../ports.ts';
import type { ChainLink } from './chain.ts';

/** An entry as it is read: what was not told is null. */
export interface AuditView {
  readonly seq: number;
  /** RFC 3339 UTC. */
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly result: AuditEntry['result'];
  readonly code: string | null;
  readonly deviceId: string | null;
  readonly customerId: string | null;
  readonly address: string | null;
  readonly requestId: string | null;
  readonly detail: NonNullable<AuditEntry['detail']>;
}

/** An edit that history keeps, with what was there before and after. */
export interface EditView {
  readonly table: string;
  readonly id: string;
  readonly operation: string;
  readonly before: object | null;
  readonly after: object | null;
}

export interface AuditFilter {
  readonly actor?: string | undefined;
  readonly action?: string | undefined;
  readonly device?: string | undefined;
  readonly result?: string | undefined;
  /** From this instant on, and before that one. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

interface Row {
  seq: number;
  at: Date;
  entry: string;
}

const FOUND = `
  FROM audit_log a
  WHERE ($1::text IS NULL OR a.customer_id = $1) AND ($2::text IS NULL OR a.actor = $2)
    AND ($3::text IS NULL OR a.action = $3) AND ($4::text IS NULL OR a.device_id = $4)
    AND ($5::text IS NULL OR a.entry::jsonb ->> 'result' = $5)
    AND ($6::timestamptz IS NULL OR a.at >= $6) AND ($7::timestamptz IS NULL OR a.at < $7)`;

const valuesOf = ({ customerId }: Scope, { actor, action, device, result, from, to }: AuditFilter): unknown[] =>
  [customerId, actor, action, device, result, from, to].map((value) => value ?? null);

/** A page, newest first. @param before entries with a smaller number only */
export function listAudit(
  sql: Sql,
  scope: Scope,
  filter: AuditFilter,
  page: { readonly limit: number; readonly before: number | null },
): Promise<{ items: AuditView[]; next: number | null }> {
  const values = [...valuesOf(scope, filter), page.before, page.limit + 1];
  return pageOf(
    sql,
    `SELECT a.seq, a.at, a.entry ${FOUND} AND ($8::bigint IS NULL OR a.seq < $8) ORDER BY a.seq DESC LIMIT $9`,
    values,
    page.limit,
  );
}

/** What was written behind an entry, oldest first: numbers follow commits, so nothing is missed. */
export function followAudit(
  sql: Sql,
  scope: Scope,
  filter: AuditFilter,
  page: { readonly limit: number; readonly after: number },
): Promise<{ items: AuditView[]; next: number | null }> {
  const values = [...valuesOf(scope, filter), page.after, page.limit + 1];
  return pageOf(sql, `SELECT a.seq, a.at, a.entry ${FOUND} AND a.seq > $8 ORDER BY a.seq LIMIT $9`, values, page.limit);
}

async function pageOf(sql: Sql, statement: string, values: readonly unknown[], limit: number) {
  const rows = await sql.query<Row>(statement, values);
  const items = rows.slice(0, limit).map(viewOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.seq ?? null) : null };
}

/** One entry and the edits that came with its request; null when there is none in the scope. */
export async function readAudit(
  sql: Sql,
  { customerId }: Scope,
  seq: number,
): Promise<{ readonly entry: AuditView; readonly edits: EditView[] } | null> {
  const [row] = await sql.query<Row>(
    'SELECT seq, at, entry FROM audit_log WHERE ($1::text IS NULL OR customer_id = $1) AND seq = $2',
    [customerId, seq],
  );
  if (row === undefined) return null;
  const entry = viewOf(row);
  const edits = await sql.query<EditView & Record<string, unknown>>(
    `SELECT table_name AS "table", row_id AS id, operation, before, after FROM history WHERE request_id = $1 ORDER BY id`,
    [entry.requestId],
  );
  return { entry, edits };
}

/** The chain as it is stored, oldest first, for whoever wants to verify it. */
export async function readChain(
  sql: Sql,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<ChainLink[]> {
  return sql.query<ChainLink & Record<string, unknown>>(
    `SELECT seq, entry, encode(previous, 'hex') AS previous, encode(hash, 'hex') AS hash
     FROM audit_log WHERE seq > $1 ORDER BY seq LIMIT $2`,
    [after, limit],
  );
}

function viewOf({ seq, at, entry }: Row): AuditView {
  const told = JSON.parse(entry) as AuditEntry;
  return {
    seq,
    at: toInstant(wallMs(at.getTime())),
    actor: told.actor,
    action: told.action,
    result: told.result,
    code: told.code ?? null,
    deviceId: told.deviceId ?? null,
    customerId: told.customerId ?? null,
    address: told.address ?? null,
    requestId: told.requestId ?? null,
    detail: told.detail ?? {},
  };
}
