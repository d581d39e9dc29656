import { inventoryDigest, type Inventory } from '@paddock/shared/inventory.ts';
import { toInstant, wallMs, type TimeInterval } from '@paddock/shared/time.ts';
import { lifeAround } from '../devices/lives.ts';
import type { Authentic } from '../ingest/authenticate.ts';
import { intervalColumns } from '../ingest/record-time.ts';
import { addNotices, type Notice } from '../monitoring/notifications.ts';
import type { ErrorAt, Sql, Store } from '../ports.ts';
import { compare, judge, type Verdict } from './decide.ts';
import { isTelling, type Flat, type FlatComponent } from './flat.ts';
import { addChanges, changesOf, noticeOf } from './record-changes.ts';

export interface AuthenticInventory extends Authentic {
  readonly inventory: Inventory;
}

/**
 * - early: of an incarnation that no report told of yet; the device is asked for it again
 * - too-often: past what is recorded of a device in an hour
 */
export type Outcome = Verdict | 'early' | 'too-often';

export interface RecordedInventory {
  readonly outcome: Outcome;
  /** The digest of its tree, when it is the current one now. */
  readonly content: string | null;
  readonly notice: Notice | null;
}

/** Each costs what a hundred reports cost, and is kept longer: a device that is out of its mind must not fill the disk. */
const MOST_IN_AN_HOUR = 20;
const HOUR_MS = 3_600_000;
interface Known {
  readonly customer_id: string;
  readonly name: string;
  readonly ordinal: number | null;
  readonly recent: number;
}

// The lock makes inventories of one device come one after the other, through whatever instance.
const LOCK_DEVICE = `SELECT FROM devices WHERE device_id = $1 FOR NO KEY UPDATE`;

const KNOWN = `
  SELECT d.customer_id, d.name,
    (SELECT i.ordinal FROM incarnations i WHERE i.device_id = d.device_id AND i.incarnation = $2) AS ordinal,
    (SELECT count(*) FROM inventories v
     WHERE v.device_id = d.device_id AND v.received_at > $3 AND v.received_at < $4) AS recent
  FROM devices d WHERE d.device_id = $1`;

const CURRENT = `
  SELECT c.inventory_id, c.components, v.ordinal, v.start, v.uptime_ms AS "uptimeMs"
  FROM current_inventories c JOIN inventories v USING (inventory_id) WHERE c.device_id = $1`;

const ADD = `
  INSERT INTO inventories (device_id, ordinal, incarnation, start, boot_id, segment, uptime_ms, received_at,
    earliest, latest, basis, digest, content, envelope)
  SELECT device_id, ordinal, incarnation, start, boot_id, segment, uptime_ms, received_at,
    earliest, latest, basis, decode(digest, 'base64'), content, envelope
  FROM json_to_record($1) AS n (device_id text, ordinal integer, incarnation text, start bigint, boot_id text,
    segment integer, uptime_ms bigint, received_at timestamptz, earliest timestamptz, latest timestamptz, basis text,
    digest text, content text, envelope text)
  ON CONFLICT (device_id, digest) DO NOTHING
  RETURNING inventory_id`;

const MOVE_CURRENT = `
  INSERT INTO current_inventories (device_id, inventory_id, content, components) VALUES ($1, $2, $3, $4)
  ON CONFLICT (device_id) DO UPDATE SET inventory_id = EXCLUDED.inventory_id, content = EXCLUDED.content,
    components = EXCLUDED.components`;

const FORGET_SERIALS = `DELETE FROM current_components WHERE device_id = $1`;
const ADD_SERIALS = `
  INSERT INTO current_components (kind, serial_number, device_id)
  SELECT DISTINCT kind, serial_number, $1 FROM unnest($2::text[], $3::text[]) AS n (kind, serial_number)
  ORDER BY kind, serial_number`;

/**
 * Records an inventory, unless it is older than the current one: what it is, what it changed, and the notice of that,
 * in one transaction.
 */
export const recordInventory = (
  store: Store,
  message: AuthenticInventory,
  errorAt: ErrorAt,
): Promise<RecordedInventory> => store.transaction((sql) => record(sql, message, errorAt));

async function record(sql: Sql, message: AuthenticInventory, errorAt: ErrorAt): Promise<RecordedInventory> {
  const { deviceId, inventory, receivedAt } = message;
  await sql.query(LOCK_DEVICE, [deviceId]);
  const known = await knownOf(sql, message);
  if (known.ordinal === null) return nothing('early');
  const place = { ordinal: known.ordinal, start: inventory.start, uptimeMs: inventory.uptimeMs };
  const current = await currentOf(sql, deviceId);
  const verdict = judge(place, current);
  if (verdict !== 'new') return nothing(verdict);
  if (known.recent >= MOST_IN_AN_HOUR) return nothing('too-often');
  const content = await inventoryDigest(inventory.components);
  const id = await add(sql, message, {
    ordinal: known.ordinal,
    content,
    interval: await placed(sql, message, errorAt),
  });
  // Its bytes were recorded in another life of the state file: it says nothing new.
  if (id === null) return nothing('repeated');
  const comparison = compare(inventory, current?.components ?? null);
  const device = { deviceId, customerId: known.customer_id, name: known.name };
  const changes = await changesOf(sql, device, comparison);
  await moveCurrent(sql, deviceId, id, content, comparison.components);
  await addChanges(sql, device, { id, previousId: current?.inventoryId ?? null, changes });
  const notice = noticeOf(device, changes, receivedAt);
  await addNotices(sql, notice ? [notice] : []);
  return { outcome: 'new', content, notice };
}

const nothing = (outcome: Outcome): RecordedInventory => ({ outcome, content: null, notice: null });

async function knownOf(sql: Sql, { deviceId, inventory, receivedAt }: AuthenticInventory): Promise<Known> {
  const [row] = await sql.query<Known>(KNOWN, [
    deviceId,
    inventory.incarnation,
    toInstant(wallMs(receivedAt - HOUR_MS)),
    toInstant(wallMs(receivedAt + HOUR_MS)),
  ]);
  if (row === undefined) throw new Error(`The device ${deviceId} is gone`);
  return row;
}

async function currentOf(sql: Sql, deviceId: string) {
  const [row] = await sql.query<{
    inventory_id: number;
    components: [string, FlatComponent][];
    ordinal: number;
    start: number;
    uptimeMs: number;
  }>(CURRENT, [deviceId]);
  if (row === undefined) return null;
  const { inventory_id: inventoryId, components, ...place } = row;
  return { ...place, inventoryId, components: new Map(components) };
}

/** Where it stands in time, as far as that is known now. */
async function placed(sql: Sql, { deviceId, inventory, receivedAt }: AuthenticInventory, errorAt: ErrorAt) {
  const { boot, segment = 0, uptimeMs } = inventory;
  const life = await lifeAround(sql, deviceId, [{ boot_id: boot.id, segment, uptime_ms: uptimeMs }]);
  return life.place({ bootId: boot.id, segment, uptimeMs, arrivedBy: wallMs(receivedAt + 1 + errorAt(receivedAt)) });
}

async function add(
  sql: Sql,
  { deviceId, inventory, receivedAt, digest, envelope }: AuthenticInventory,
  { ordinal, content, interval }: { ordinal: number; content: string; interval: TimeInterval },
): Promise<number | null> {
  const row = {
    device_id: deviceId,
    ordinal,
    incarnation: inventory.incarnation,
    start: inventory.start,
    boot_id: inventory.boot.id,
    segment: inventory.segment ?? 0,
    uptime_ms: inventory.uptimeMs,
    received_at: toInstant(receivedAt),
    ...intervalColumns(interval),
    digest: `${digest.replaceAll('-', '+').replaceAll('_', '/')}=`,
    content,
    envelope,
  };
  const [added] = await sql.query<{ inventory_id: number }>(ADD, [JSON.stringify(row)]);
  return added?.inventory_id ?? null;
}

async function moveCurrent(sql: Sql, deviceId: string, id: number, content: string, flat: Flat): Promise<void> {
  await sql.query(MOVE_CURRENT, [deviceId, id, content, JSON.stringify([...flat])]);
  const telling = [...flat.values()].filter(({ own }) => isTelling(own.serialNumber));
  await sql.query(FORGET_SERIALS, [deviceId]);
  await sql.query(ADD_SERIALS, [
    deviceId,
    telling.map(({ own }) => own.kind),
    telling.map(({ own }) => own.serialNumber),
  ]);
}
