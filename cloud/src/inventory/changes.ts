import type { Component, ComponentKind } from '@paddock/shared/inventory.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { DeviceLife } from '../clock/life.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf, type Condition } from '../devices/conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import { lifeAround } from '../devices/lives.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from '../devices/placement.ts';
import type { Sql } from '../ports.ts';

/** - moved: added here, and on another device until then: current there, or taken out of it last */
export const CHANGES = ['added', 'removed', 'changed', 'moved'] as const;

/** One component that is other than it was. */
export interface InventoryChange {
  readonly changeId: number;
  readonly change: (typeof CHANGES)[number];
  readonly kind: ComponentKind;
  /** Kind and name of each component from the outermost to this one. */
  readonly path: readonly string[];
  readonly before: Component | null;
  readonly after: Component | null;
  /** Where it came from, when it moved. */
  readonly fromDevice: string | null;
  /** When: after the inventory before was made, and before this one was. */
  readonly time: TimeView;
  /** The inventory that shows it, and the one before, which does not yet: their proofs are its proof. */
  readonly inventoryId: number;
  readonly previousInventoryId: number | null;
  readonly receivedAt: string;
}

interface ChangeRow extends PlacedRow {
  readonly change_id: number;
  readonly change: InventoryChange['change'];
  readonly kind: ComponentKind;
  readonly path: readonly string[];
  readonly before: Component | null;
  readonly after: Component | null;
  readonly from_device: string | null;
  readonly inventory_id: number;
  readonly previous_id: number | null;
}

const CHANGE_ROWS = `
  SELECT c.change_id, c.change, c.kind, c.path, c.before, c.after, c.from_device, c.inventory_id, c.previous_id,
    v.boot_id, v.segment, v.uptime_ms, v.received_at, v.earliest, v.latest, v.basis
  FROM inventory_changes c JOIN inventories v USING (inventory_id)
  JOIN devices d ON d.device_id = c.device_id`;

const PREVIOUS = `
  SELECT inventory_id, boot_id, segment, uptime_ms, received_at, earliest, latest, basis
  FROM inventories WHERE inventory_id = ANY($1)`;

/**
 * What changed of a device's components, newest first.
 * @throws CursorError
 */
export async function listInventoryChanges(
  { sql, cloudErrorMs }: { readonly sql: Sql; readonly cloudErrorMs: () => number },
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<InventoryChange>> {
  const { where, values } = whereOf([...scopeOf(scope), ['c.device_id = ?', deviceId], ...beyond(cursor)]);
  const order = `ORDER BY c.change_id DESC LIMIT ${limit + 1}`;
  const rows = await sql.query<ChangeRow>(`${CHANGE_ROWS} ${where} ${order}`, values);
  const previous = await previousOf(sql, rows);
  const life = await lifeAround(sql, deviceId, [...rows, ...previous.values()]);
  const timeOf = (row: ChangeRow): TimeView => between(life, row, previous.get(row.previous_id ?? 0), cloudErrorMs());
  return pageOf(
    rows,
    limit,
    ({ change_id }) => [change_id],
    (row) => changeView(row, timeOf(row)),
  );
}

function beyond(cursor: string | undefined): Condition[] {
  if (cursor === undefined) return [];
  const [id] = decodeCursor(cursor, ['count']);
  return [['c.change_id < ?', id]];
}

async function previousOf(sql: Sql, rows: readonly ChangeRow[]): Promise<ReadonlyMap<number, PlacedRow>> {
  const ids = [...new Set(rows.flatMap(({ previous_id }) => previous_id ?? []))];
  if (ids.length === 0) return new Map();
  const found = await sql.query<PlacedRow & { inventory_id: number }>(PREVIOUS, [ids]);
  return new Map(found.map((row) => [row.inventory_id, row]));
}

/** Both inventories are placed by all that is known now; the change lies between them. */
function between(life: DeviceLife, row: PlacedRow, previous: PlacedRow | undefined, cloudErrorMs: number): TimeView {
  const shown = life.place(momentOf(row, cloudErrorMs));
  const before = previous && life.place(momentOf(previous, cloudErrorMs)).earliest;
  const earliest = before === undefined || before === null ? null : wallMs(Math.min(before, shown.latest));
  const estimate = earliest === null ? shown.estimate : wallMs((earliest + shown.latest) / 2);
  return timeView({ earliest, latest: shown.latest, estimate, basis: shown.basis });
}

const changeView = (row: ChangeRow, time: TimeView): InventoryChange => ({
  changeId: row.change_id,
  change: row.change,
  kind: row.kind,
  path: row.path,
  before: row.before,
  after: row.after,
  fromDevice: row.from_device,
  time,
  inventoryId: row.inventory_id,
  previousInventoryId: row.previous_id,
  receivedAt: toInstant(wallMs(row.received_at.getTime())),
});
