import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Page, PageRequest } from '../customers/catalogue.ts';
import { actAs, type Actor, type Scope } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { EnrolmentError } from './errors.ts';

/** A device that a factory said it has made. */
export interface Listed {
  readonly fingerprint: string;
  readonly serialNumber: string;
  readonly customerId: string;
  readonly modelId: string | null;
  readonly siteId: string | null;
  readonly name: string | null;
  readonly addedAt: string;
  /** The device that it let in. */
  readonly deviceId: string | null;
}

interface ListedRow {
  thumbprint: string;
  serial_number: string;
  customer_id: string;
  model_id: string | null;
  site_id: string | null;
  name: string | null;
  added_at: Date;
  device_id: string | null;
}

/** @param serialNumber only the entries of this one */
export async function listFactoryList(
  sql: Sql,
  scope: Scope,
  { limit, cursor }: PageRequest,
  serialNumber: string | null = null,
): Promise<Page<Listed>> {
  const rows = await sql.query<ListedRow>(
    `SELECT * FROM factory_list WHERE ($1::text IS NULL OR customer_id = $1) AND ($2::text IS NULL OR thumbprint > $2)
       AND ($3::text IS NULL OR serial_number = $3) ORDER BY thumbprint LIMIT $4`,
    [scope.customerId, cursor ?? null, serialNumber, limit + 1],
  );
  const items = rows.slice(0, limit).map(listedOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.fingerprint ?? null) : null };
}

/** Whom it let in stays in. @throws EnrolmentError `entry_unknown` */
export async function removeListed(sql: Sql, scope: Scope, actor: Actor, fingerprint: string): Promise<Listed> {
  await actAs(sql, actor);
  const [row] = await sql.query<ListedRow>(
    'DELETE FROM factory_list WHERE thumbprint = $2 AND ($1::text IS NULL OR customer_id = $1) RETURNING *',
    [scope.customerId, fingerprint],
  );
  if (!row) throw new EnrolmentError('entry_unknown', fingerprint);
  return listedOf(row);
}

const listedOf = (row: ListedRow): Listed => ({
  fingerprint: row.thumbprint,
  serialNumber: row.serial_number,
  customerId: row.customer_id,
  modelId: row.model_id,
  siteId: row.site_id,
  name: row.name,
  addedAt: toInstant(wallMs(row.added_at.getTime())),
  deviceId: row.device_id,
});
