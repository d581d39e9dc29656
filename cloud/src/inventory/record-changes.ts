import type { WallMs } from '@paddock/shared/time.ts';
import type { Notice } from '../monitoring/notifications.ts';
import type { Sql } from '../ports.ts';
import type { Comparison } from './decide.ts';
import type { FlatComponent } from './flat.ts';

export interface ChangedDevice {
  readonly deviceId: string;
  readonly customerId: string;
  readonly name: string;
}

/** As many changes as a notice names; the API has them all. */
const NAMED = 20;

/** A change, and whence a component came that has moved. */
export interface RecordedChange {
  readonly change: string;
  readonly before: FlatComponent | null;
  readonly after: FlatComponent | null;
  readonly from_device: string | null;
}

// Where it is, or else where it was taken out last: be that this very device, it has not moved.
// What another customer has is nobody's business, be it only that it has it.
const WHERE_LAST = `
  SELECT w.kind, w.serial_number, coalesce(held.device_id, gone.device_id) AS device_id
  FROM unnest($3::text[], $4::text[]) AS w (kind, serial_number)
  LEFT JOIN LATERAL (
    SELECT c.device_id FROM current_components c JOIN devices d USING (device_id)
    WHERE c.kind = w.kind AND c.serial_number = w.serial_number AND c.device_id <> $1 AND d.customer_id = $2
    ORDER BY c.device_id LIMIT 1) held ON true
  LEFT JOIN LATERAL (
    SELECT c.device_id FROM inventory_changes c JOIN devices d USING (device_id)
    WHERE c.change = 'removed' AND c.kind = w.kind AND c.serial_number = w.serial_number AND d.customer_id = $2
    ORDER BY c.change_id DESC LIMIT 1) gone ON true
  WHERE coalesce(held.device_id, gone.device_id) <> $1`;

const ADD_CHANGES = `
  INSERT INTO inventory_changes (device_id, inventory_id, previous_id, change, kind, path, before, after, from_device)
  SELECT $1, $2, $3, change, kind, path, before, after, from_device
  FROM json_to_recordset($4) AS n (change text, kind text, path json, before json, after json, from_device text)`;

/**
 * What is added here, and is current on another device of the customer or was taken out of one last, has moved from
 * there: whichever of the two devices tells of it first.
 */
export async function changesOf(
  sql: Sql,
  device: ChangedDevice,
  { changes, arrivals }: Comparison,
): Promise<RecordedChange[]> {
  const from = arrivals.length > 0 ? await devicesWith(sql, device, arrivals) : new Map<string, string>();
  const moved = arrivals.flatMap((after): RecordedChange[] => {
    const device = from.get(serialKey(after));
    return device === undefined ? [] : [{ change: 'moved', before: null, after, from_device: device }];
  });
  const arrived = new Set(moved.map(({ after }) => after));
  const others = changes.filter(({ after }) => after === null || !arrived.has(after));
  return [...others.map(({ change, before, after }) => ({ change, before, after, from_device: null })), ...moved];
}

const serialKey = ({ own }: FlatComponent): string => `${own.kind} ${own.serialNumber}`;

async function devicesWith(sql: Sql, { deviceId, customerId }: ChangedDevice, arrivals: readonly FlatComponent[]) {
  const rows = await sql.query<{ kind: string; serial_number: string; device_id: string }>(WHERE_LAST, [
    deviceId,
    customerId,
    arrivals.map(({ own }) => own.kind),
    arrivals.map(({ own }) => own.serialNumber),
  ]);
  return new Map(rows.map(({ kind, serial_number, device_id }) => [`${kind} ${serial_number}`, device_id]));
}

export async function addChanges(
  sql: Sql,
  { deviceId }: ChangedDevice,
  { id, previousId, changes }: { id: number; previousId: number | null; changes: readonly RecordedChange[] },
): Promise<void> {
  if (changes.length === 0) return;
  await sql.query(ADD_CHANGES, [deviceId, id, previousId, JSON.stringify(changes.map(changeRow))]);
}

/** Of a change at least one side is there. */
function shownOf({ before, after }: Pick<RecordedChange, 'before' | 'after'>): FlatComponent {
  const shown = after ?? before;
  if (shown === null) throw new Error('A change shows no component');
  return shown;
}

const changeRow = (row: RecordedChange) => ({
  ...row,
  kind: shownOf(row).own.kind,
  path: shownOf(row).path,
  before: row.before?.own ?? null,
  after: row.after?.own ?? null,
});

/** What operators are told of it; null when nothing has changed. */
export function noticeOf(
  { deviceId, customerId, name }: ChangedDevice,
  changes: readonly RecordedChange[],
  occurredAt: WallMs,
): Notice | null {
  if (changes.length === 0) return null;
  const named = changes.slice(0, NAMED).map((row) => {
    const { kind, name: component, serialNumber } = shownOf(row).own;
    const from = row.from_device === null ? {} : { fromDevice: row.from_device };
    return { change: row.change, kind, component, ...(serialNumber !== undefined && { serialNumber }), ...from };
  });
  const data = { deviceId, customerId, name, count: changes.length, changes: named };
  return { type: 'device.inventory', occurredAt, deviceId, customerId, data };
}
