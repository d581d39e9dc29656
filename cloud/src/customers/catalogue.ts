import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { FleetError, type FleetErrorCode } from './errors.ts';
import { actAs, type Actor, type Scope } from './scope.ts';

/** A table of things that people create, edit and list: what its rows are called, and who may see them. */
export interface Catalogue<Item extends Versioned> {
  readonly table: 'customers' | 'sites' | 'models';
  readonly id: string;
  /** Columns by the name that the rest of the program uses; the id, `created_at` and `version` are in every table. */
  readonly columns: Readonly<Record<Exclude<keyof Item, keyof Versioned> & string, string>>;
  /** What a scoped reader may see, $1 being the customer. */
  readonly visible: string;
  readonly errors: { readonly unknown: FleetErrorCode; readonly exists: FleetErrorCode };
}

export interface Versioned {
  /** RFC 3339 UTC. */
  readonly createdAt: string;
  readonly version: number;
}

/** Ids in their order; `next` is the cursor of the following page, null when this is the last. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly next: string | null;
}

export interface PageRequest {
  readonly limit: number;
  /** `next` of the page before. */
  readonly cursor?: string | undefined;
}

type Values = Readonly<Record<string, string | null | undefined>>;
type Row = Record<string, unknown> & { createdAt: Date };

const selectList = <Item extends Versioned>({ columns }: Catalogue<Item>): string =>
  [...Object.entries<string>(columns), ['createdAt', 'created_at'], ['version', 'version']]
    .map(([name, column]) => `${column} AS "${name}"`)
    .join(', ');

/** The select list named every column as the item has it; only the moment is still a Date. */
const itemOf = <Item extends Versioned>(_: Catalogue<Item>, row: Row): Item =>
  ({ ...row, createdAt: toInstant(wallMs(row.createdAt.getTime())) }) as Row & Item;

const visibleTo = ({ visible }: { readonly visible: string }): string => `($1::text IS NULL OR ${visible})`;

/** @throws FleetError the catalogue's `exists` */
export async function insertItem<Item extends Versioned>(
  sql: Sql,
  catalogue: Catalogue<Item>,
  actor: Actor,
  values: Values,
): Promise<Item> {
  await actAs(sql, actor);
  const given = Object.entries<string>(catalogue.columns).filter(([name]) => values[name] !== undefined);
  const [row] = await sql.query<Row>(
    `INSERT INTO ${catalogue.table} (${given.map(([, column]) => column).join(', ')})
     VALUES (${given.map((_, index) => `$${index + 1}`).join(', ')})
     ON CONFLICT (${catalogue.id}) DO NOTHING RETURNING ${selectList(catalogue)}`,
    given.map(([name]) => values[name]),
  );
  if (!row) throw new FleetError(catalogue.errors.exists);
  return itemOf(catalogue, row);
}

/**
 * @param expectedVersion as the editor read it; null edits whatever is there
 * @param change undefined leaves a value as it is
 * @throws FleetError the catalogue's `unknown`, or `version_conflict`
 */
export async function updateItem<Item extends Versioned>(
  sql: Sql,
  catalogue: Catalogue<Item>,
  edit: { scope: Scope; actor: Actor; id: string; expectedVersion: number | null; change: Values },
): Promise<Item> {
  const current = await readItem(sql, catalogue, edit.scope, edit.id, 'FOR UPDATE');
  if (edit.expectedVersion !== null && edit.expectedVersion !== current.version)
    throw new FleetError('version_conflict');
  const given = Object.entries<string>(catalogue.columns).filter(([name]) => edit.change[name] !== undefined);
  if (given.length === 0) return current;
  await actAs(sql, edit.actor);
  const [row] = await sql.query<Row>(
    `UPDATE ${catalogue.table} SET version = version + 1, ${given.map(([, column], index) => `${column} = $${index + 2}`).join(', ')}
     WHERE ${catalogue.id} = $1 RETURNING ${selectList(catalogue)}`,
    [edit.id, ...given.map(([name]) => edit.change[name])],
  );
  if (!row) throw new FleetError(catalogue.errors.unknown, edit.id);
  return itemOf(catalogue, row);
}

/** @throws FleetError the catalogue's `unknown`, also when the scope may not see it */
export async function readItem<Item extends Versioned>(
  sql: Sql,
  catalogue: Catalogue<Item>,
  scope: Scope,
  id: string,
  lock: 'FOR UPDATE' | '' = '',
): Promise<Item> {
  const [row] = await sql.query<Row>(
    `SELECT ${selectList(catalogue)} FROM ${catalogue.table} WHERE ${visibleTo(catalogue)} AND ${catalogue.id} = $2 ${lock}`,
    [scope.customerId, id],
  );
  if (!row) throw new FleetError(catalogue.errors.unknown, id);
  return itemOf(catalogue, row);
}

export async function listItems<Item extends Versioned>(
  sql: Sql,
  catalogue: Catalogue<Item>,
  scope: Scope,
  { limit, cursor }: PageRequest,
): Promise<Page<Item>> {
  const rows = await sql.query<Row & { pageKey: string }>(
    `SELECT ${selectList(catalogue)}, ${catalogue.id} AS "pageKey" FROM ${catalogue.table}
     WHERE ${visibleTo(catalogue)} AND ($2::text IS NULL OR ${catalogue.id} > $2) ORDER BY ${catalogue.id} LIMIT $3`,
    [scope.customerId, cursor ?? null, limit + 1],
  );
  const shown = rows.slice(0, limit);
  const next = rows.length > limit ? (shown.at(-1)?.pageKey ?? null) : null;
  return { items: shown.map(({ pageKey: _, ...row }) => itemOf(catalogue, row as Row)), next };
}
