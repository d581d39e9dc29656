import type { DesiredFirmware } from '@paddock/shared/desired.ts';
import { FleetError } from '../customers/errors.ts';
import type { Actor } from '../customers/scope.ts';
import { setDesired } from '../desired/change.ts';
import type { Sql } from '../ports.ts';
import { hasBegun } from './progress.ts';
import { writeDevices, writeHanded, type AssignmentRow, type DeviceChange, type HandedDevice } from './records.ts';

/** Who stands for what a device is handed, in the history of its desired state. */
const actorOf = ({ assignment_id }: Pick<AssignmentRow, 'assignment_id'>): Actor => `assignment:${assignment_id}`;

/** What desired state says of firmware for as long as a device is in the assignment. */
export const desiredOf = ({ name, version, counter, sha256, options }: AssignmentRow): DesiredFirmware => ({
  name,
  version,
  counter,
  sha256,
  ...options,
});

// The order keeps transactions that lock several devices from waiting for each other: one has all of them at once.
const LOCK_DEVICES = `
  SELECT device_id, retired_at IS NOT NULL AS retired FROM devices WHERE device_id = ANY($1)
  ORDER BY device_id FOR NO KEY UPDATE`;
const DESIRED = `SELECT device_id, state -> 'firmware' AS firmware FROM desired_states WHERE device_id = ANY($1)`;

/** A device whose desired state nobody else edits until this transaction ends. */
interface LockedDevice {
  readonly deviceId: string;
  readonly retired: boolean;
  /** What its desired state says of firmware. */
  readonly desired: DesiredFirmware | null;
}

/** In the order of the database, in which their desired states are to be written. */
async function lockDevices(sql: Sql, deviceIds: readonly string[]): Promise<LockedDevice[]> {
  const devices = await sql.query<{ device_id: string; retired: boolean }>(LOCK_DEVICES, [deviceIds]);
  const rows = await sql.query<{ device_id: string; firmware: DesiredFirmware | null }>(DESIRED, [deviceIds]);
  const desired = new Map(rows.map(({ device_id, firmware }) => [device_id, firmware]));
  return devices.map(({ device_id: deviceId, retired }) => ({
    deviceId,
    retired,
    desired: desired.get(deviceId) ?? null,
  }));
}

/**
 * Makes the release desired for devices. Once in a transaction.
 * @param states what is to be written of each: `updated` of those that run it already
 * @returns what was written; a device whose desired state cannot hold it has failed
 */
export async function handOut(
  sql: Sql,
  assignment: AssignmentRow,
  states: ReadonlyMap<string, 'updating' | 'updated'>,
): Promise<DeviceChange[]> {
  if (states.size === 0) return [];
  const changes: DeviceChange[] = [];
  for (const { deviceId, desired: previous } of await lockDevices(sql, [...states.keys()])) {
    const state = states.get(deviceId) ?? 'updating';
    changes.push(await handOne(sql, assignment, { deviceId, state, previous }));
  }
  await writeDevices(sql, assignment.assignment_id, changes);
  return changes;
}

async function handOne(
  sql: Sql,
  assignment: AssignmentRow,
  { deviceId, state, previous }: DeviceChange & { readonly previous: DesiredFirmware | null },
): Promise<DeviceChange> {
  try {
    const { version } = await setDesired(sql, actorOf(assignment), deviceId, 'firmware', desiredOf(assignment));
    await writeHanded(sql, assignment.assignment_id, deviceId, { version, previous });
    return { deviceId, state };
  } catch (cause) {
    if (!(cause instanceof FleetError)) throw cause;
    return { deviceId, state: 'failed', code: cause.code, detail: cause.message };
  }
}

/**
 * Takes the release back from devices that have not begun to change what they run: their desired state goes back to
 * what it was. The others go through with it.
 * @param state what becomes of those from which it is taken
 */
export async function takeBack(
  sql: Sql,
  assignment: AssignmentRow,
  handed: readonly HandedDevice[],
  state: 'waiting' | 'cancelled',
): Promise<DeviceChange[]> {
  const idle = handed.filter(({ heard }) => !hasBegun(heard, assignment.sha256));
  const previous = new Map(idle.map((device) => [device.deviceId, device.previous]));
  // What somebody made of it since it was looked at stays.
  for (const { deviceId, retired, desired } of await lockDevices(sql, [...previous.keys()]))
    if (!retired && isHanded(assignment, desired))
      await setDesired(sql, actorOf(assignment), deviceId, 'firmware', previous.get(deviceId) ?? null);
  const changes = idle.map(({ deviceId }) => ({ deviceId, state }));
  await writeDevices(sql, assignment.assignment_id, changes);
  return changes;
}

/** Whether a device's desired state still says what the assignment made it say. */
export const isHanded = (
  { name, counter, sha256 }: Pick<AssignmentRow, 'name' | 'counter' | 'sha256'>,
  desired: DesiredFirmware | null,
): boolean => desired !== null && desired.name === name && desired.counter === counter && desired.sha256 === sha256;
