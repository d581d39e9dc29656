import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { toInstant, wallMs, type Basis } from '@paddock/shared/time.ts';
import { FleetError } from '../customers/errors.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf, type Condition } from '../devices/conditions.ts';
import { decodeCursor, pageOf, type Page, type PageRequest } from '../devices/cursor.ts';
import { lifeAround } from '../devices/lives.ts';
import { momentOf, timeView, type PlacedRow, type TimeView } from '../devices/placement.ts';
import type { Sql } from '../ports.ts';

/** What a device runs, as its newest report says it. */
export interface DeviceFirmware {
  readonly deviceId: string;
  /** Null until a report says something of firmware. */
  readonly firmware: ReportedFirmware | null;
  /** Whether what runs is a release that was published here, withdrawn or not; null when nothing runs. */
  readonly published: boolean | null;
  /** When the first report that says this came. */
  readonly receivedAt: string | null;
  /** The assignment that the device is in, not at its end; the newest where there are several. */
  readonly assignmentId: number | null;
}

/** From here on it ran this, until the next one. */
export interface FirmwareChange {
  readonly changeId: number;
  /** Null: nothing. */
  readonly running: {
    readonly name: string;
    readonly version: string;
    readonly counter: number;
    readonly sha256: string;
    /** Whether it is a release that was published here. */
    readonly published: boolean;
  } | null;
  readonly slot: string | null;
  /** When: after the report before was made, and before the one that shows it. */
  readonly time: TimeView;
  /** The report that shows it, whose proof is its proof. */
  readonly report: { readonly incarnation: string; readonly start: number; readonly sequence: number };
  readonly receivedAt: string;
}

const PUBLISHED = (row: string): string => `EXISTS (
  SELECT FROM releases p WHERE p.name = ${row}.name AND p.sha256 = ${row}.sha256 AND p.published_at IS NOT NULL)`;

const FIRMWARE = `
  SELECT f.reported, f.received_at, CASE WHEN f.sha256 IS NULL THEN NULL ELSE ${PUBLISHED('f')} END AS published,
    (SELECT max(r.assignment_id) FROM assignment_devices r
     WHERE r.device_id = d.device_id AND r.state IN ('waiting', 'updating', 'stalled')) AS assignment_id
  FROM devices d LEFT JOIN device_firmware f ON f.device_id = d.device_id`;

interface FirmwareRow {
  readonly reported: ReportedFirmware | null;
  readonly received_at: Date | null;
  readonly published: boolean | null;
  readonly assignment_id: number | null;
}

/** @throws FleetError `device_unknown` */
export async function readFirmware(sql: Sql, scope: Scope, deviceId: string): Promise<DeviceFirmware> {
  const { where, values } = whereOf([...scopeOf(scope), ['d.device_id = ?', deviceId]]);
  const [row] = await sql.query<FirmwareRow>(`${FIRMWARE} ${where}`, values);
  if (row === undefined) throw new FleetError('device_unknown', deviceId);
  const { reported, received_at, published, assignment_id } = row;
  return {
    deviceId,
    firmware: reported,
    published,
    receivedAt: received_at && instant(received_at),
    assignmentId: assignment_id,
  };
}

interface ChangeRow extends PlacedRow {
  readonly change_id: number;
  readonly name: string | null;
  readonly version: string;
  readonly counter: number;
  readonly sha256: string;
  readonly slot: string | null;
  readonly published: boolean;
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  readonly before_boot_id: string | null;
  readonly before_segment: number;
  readonly before_uptime_ms: number;
  readonly before_received_at: Date;
  readonly before_earliest: Date | null;
  readonly before_latest: Date;
  readonly before_basis: Basis;
}

const CHANGES = `SELECT c.*, ${PUBLISHED('c')} AS published FROM firmware_changes c`;

// In the device's own order: what came late stands where it belongs.
const NEWEST_FIRST = 'ORDER BY c.ordinal DESC, c.start DESC, c.sequence DESC';
const AFTER = `(c.ordinal, c.start, c.sequence) <
  (SELECT o.ordinal, o.start, o.sequence FROM firmware_changes o WHERE o.change_id = ?)`;

/**
 * What a device ran, newest first, each change placed by all that is known now.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 * @throws FleetError `device_unknown`, CursorError
 */
export async function listFirmwareChanges(
  { sql, cloudErrorMs }: { readonly sql: Sql; readonly cloudErrorMs: () => number },
  scope: Scope,
  deviceId: string,
  { limit, cursor }: PageRequest,
): Promise<Page<FirmwareChange>> {
  await readFirmware(sql, scope, deviceId);
  const after: Condition[] = cursor ? [[AFTER, decodeCursor(cursor, ['count'])[0]]] : [];
  const { where, values } = whereOf([['c.device_id = ?', deviceId], ...after]);
  const rows = await sql.query<ChangeRow>(`${CHANGES} ${where} ${NEWEST_FIRST} LIMIT ${limit + 1}`, values);
  const life = await lifeAround(sql, deviceId, [...rows, ...rows.flatMap(beforeOf)]);
  const timeOf = (row: ChangeRow): TimeView => {
    const shown = life.place(momentOf(row, cloudErrorMs()));
    const [before] = beforeOf(row);
    const from = before === undefined ? null : life.place(momentOf(before, cloudErrorMs())).earliest;
    const earliest = from === null ? null : wallMs(Math.min(from, shown.latest));
    const estimate = earliest === null ? shown.estimate : wallMs((earliest + shown.latest) / 2);
    return timeView({ earliest, latest: shown.latest, estimate, basis: shown.basis });
  };
  return pageOf(
    rows,
    limit,
    ({ change_id }) => [change_id],
    (row) => changeOf(row, timeOf(row)),
  );
}

/** The report before, as it was placed. */
function beforeOf(row: ChangeRow): PlacedRow[] {
  if (row.before_boot_id === null) return [];
  const before = {
    boot_id: row.before_boot_id,
    segment: row.before_segment,
    uptime_ms: row.before_uptime_ms,
    received_at: row.before_received_at,
    earliest: row.before_earliest,
    latest: row.before_latest,
    basis: row.before_basis,
  };
  return [before];
}

function changeOf(row: ChangeRow, time: TimeView): FirmwareChange {
  const { name, version, counter, sha256, published, incarnation, start, sequence } = row;
  return {
    changeId: row.change_id,
    running: name === null ? null : { name, version, counter, sha256, published },
    slot: row.slot,
    time,
    report: { incarnation, start, sequence },
    receivedAt: instant(row.received_at),
  };
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
