import { FleetError } from '../customers/errors.ts';
import type { Scope } from '../customers/scope.ts';
import { scopeOf, whereOf, type Condition } from '../devices/conditions.ts';
import type { Sql } from '../ports.ts';
import type { AssignmentRow, TargetFilter } from './records.ts';

/** Whom an assignment is for. */
export type Targets =
  | { readonly devices: readonly string[]; readonly filter?: undefined }
  | { readonly devices?: undefined; readonly filter: TargetFilter };

type Taking = Pick<AssignmentRow, 'assignment_id' | 'name' | 'models'>;

/** Devices that a standing assignment takes in one turn at most. */
const MOST_AT_ONCE = 500;

const FITTING = `
  FROM devices d
  LEFT JOIN presence p ON p.device_id = d.device_id
  LEFT JOIN device_firmware f ON f.device_id = d.device_id`;

/** Those of a list, or those that fit a filter and are not retired, as far as the scope reaches. */
function conditionsOf(scope: Scope, { devices, filter }: Targets): Condition[] {
  if (devices !== undefined) return [...scopeOf(scope), ['d.device_id = ANY(?)', [...devices]]];
  const equal: readonly (readonly [string, string | undefined])[] = [
    ['d.customer_id = ?', filter.customer],
    ['d.site_id = ?', filter.site],
    ['d.model_id = ?', filter.model],
    ['f.name = ?', filter.running],
    [`coalesce(p.state, 'never-seen') = ?`, filter.presence],
  ];
  const given = equal.flatMap(([sql, value]): Condition[] => (value === undefined ? [] : [[sql, value]]));
  return [...scopeOf(scope), ['(d.retired_at IS NULL) = ?', true], ...given];
}

/**
 * Takes devices into an assignment, away from others: a device shall run one release. Each that does not fit is written down as
 * refused. With the lock of rollouts.
 * @throws FleetError `device_unknown` for a list with a device that is not there, or not within reach
 */
export async function take(sql: Sql, assignment: Taking, scope: Scope, targets: Targets): Promise<void> {
  const { where, values } = whereOf(conditionsOf(scope, targets));
  const rows = await sql.query<{ device_id: string }>(`SELECT d.device_id ${FITTING} ${where}`, values);
  const ids = rows.map(({ device_id }) => device_id);
  const found = new Set(ids);
  const unknown = targets.devices?.find((deviceId) => !found.has(deviceId));
  if (unknown !== undefined) throw new FleetError('device_unknown', unknown);
  await takeDevices(sql, assignment, ids);
}

const SUPERSEDE = `
  UPDATE assignment_devices r SET state = 'superseded', code = 'superseded', detail = NULL, step = NULL, percent = NULL,
    superseded_by = $1, since = clock_timestamp(), told_at = clock_timestamp(), revision = nextval('state_revision')
  FROM devices d
  WHERE r.device_id = ANY($3) AND r.assignment_id <> $1 AND r.state IN ('waiting', 'updating', 'stalled')
    AND d.device_id = r.device_id AND d.retired_at IS NULL AND d.model_id = ANY($2)`;

const ADD = `
  INSERT INTO assignment_devices (assignment_id, device_id, name, state, code)
  SELECT $1, d.device_id, $2, CASE WHEN u.code IS NULL THEN 'waiting' ELSE 'refused' END, u.code
  FROM devices d CROSS JOIN LATERAL (
    SELECT CASE WHEN d.retired_at IS NOT NULL THEN 'device_retired'
      WHEN d.model_id = ANY($3) THEN NULL ELSE 'model_unfit' END AS code) u
  WHERE d.device_id = ANY($4)
  ON CONFLICT DO NOTHING`;

async function takeDevices(sql: Sql, { assignment_id, name, models }: Taking, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  await sql.query(SUPERSEDE, [assignment_id, models, ids]);
  await sql.query(ADD, [assignment_id, name, models, ids]);
}

const NOT_LATER = `NOT EXISTS (
  SELECT FROM assignment_devices r WHERE r.assignment_id >= ? AND r.device_id = d.device_id)`;

/** What a standing assignment finds new: devices that fit, and are in no later assignment. */
export async function takeMore(sql: Sql, assignment: AssignmentRow): Promise<void> {
  const { assignment_id, customer_id: customerId, models, filter, standing } = assignment;
  if (!standing || filter === null) return;
  const { where, values } = whereOf([
    ...conditionsOf({ customerId }, { filter }),
    ['d.model_id = ANY(?)', models],
    [NOT_LATER, assignment_id],
  ]);
  const rows = await sql.query<{ device_id: string }>(
    `SELECT d.device_id ${FITTING} ${where} ORDER BY d.device_id LIMIT ${MOST_AT_ONCE}`,
    values,
  );
  await takeDevices(
    sql,
    assignment,
    rows.map(({ device_id }) => device_id),
  );
}
