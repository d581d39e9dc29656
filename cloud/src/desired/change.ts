import { FleetError } from '../customers/errors.ts';
import { actAs, actorName, type Actor } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import { checkKey, checkState, type DesiredState } from './check.ts';

/** What became of an edit. */
export interface DesiredChange {
  readonly deviceId: string;
  /** That holds now; 0 when nothing was ever set. */
  readonly version: number;
  readonly state: DesiredState;
  /** False when it was so before: then there is no new version. */
  readonly changed: boolean;
}

/** Takes a key away where the value is null. */
export type DesiredPatch = Readonly<Record<string, unknown>>;

// The lock makes edits of one device come one after the other. Not FOR UPDATE: ingest refers to the row all the time.
const LOCK_DEVICE = `SELECT retired_at FROM devices WHERE device_id = $1 FOR NO KEY UPDATE`;
const CURRENT = `SELECT version, state FROM desired_states WHERE device_id = $1`;

// What is the same to the database is no change: the order of keys within objects says nothing.
const WRITE = `
  INSERT INTO desired_states AS d (device_id, version, state, changed_by)
  SELECT $1, 1, $2, $3 WHERE $2::jsonb <> '{}' OR EXISTS (SELECT FROM desired_states WHERE device_id = $1)
  ON CONFLICT (device_id) DO UPDATE SET version = d.version + 1, state = EXCLUDED.state,
    changed_at = clock_timestamp(), changed_by = EXCLUDED.changed_by, revision = nextval('state_revision')
  WHERE d.state <> EXCLUDED.state
  RETURNING version`;

/**
 * Sets one key of what a device shall be, or takes it away. To be called in a transaction, as everything here that takes
 * an actor; whoever sets it for several devices in one goes in the order of their ids.
 * @param value null takes the key away
 * @throws FleetError `device_unknown`, `device_retired`, `desired_key_invalid`, `desired_value_invalid`,
 *   `desired_too_large`, `time_zone_invalid`
 */
export const setDesired = (
  sql: Sql,
  actor: Actor,
  deviceId: string,
  key: string,
  value: unknown,
): Promise<DesiredChange> => patchDesired(sql, actor, deviceId, { [key]: value });

/**
 * Sets and takes away keys, and leaves the others.
 * @param expectedVersion as the editor read it; null edits whatever is there
 * @throws FleetError as `setDesired`, `version_conflict`
 */
export const patchDesired = (
  sql: Sql,
  actor: Actor,
  deviceId: string,
  patch: DesiredPatch,
  expectedVersion: number | null = null,
): Promise<DesiredChange> => {
  const { gone, given } = partsOf(patch);
  return change(sql, actor, deviceId, expectedVersion, (state) => {
    const kept = Object.entries(state).filter(([key]) => !gone.has(key));
    return { ...Object.fromEntries(kept), ...given };
  });
};

/** The whole of it at once. @throws FleetError as `patchDesired` */
export const replaceDesired = (
  sql: Sql,
  actor: Actor,
  deviceId: string,
  state: DesiredState,
  expectedVersion: number | null = null,
): Promise<DesiredChange> => {
  for (const [key, value] of Object.entries(state)) checkKey(key, value);
  return change(sql, actor, deviceId, expectedVersion, () => state);
};

/**
 * Sets one output, or takes it away, and leaves the others.
 * @param output with the value null it is taken away; the key goes with the last one
 * @throws FleetError as `patchDesired`
 */
export const setDesiredOutput = (
  sql: Sql,
  actor: Actor,
  deviceId: string,
  output: { readonly name: string; readonly value: unknown },
  expectedVersion: number | null = null,
): Promise<DesiredChange> =>
  change(sql, actor, deviceId, expectedVersion, ({ outputs, ...others }) => {
    const kept = Object.entries(outputs ?? {}).filter(([other]) => other !== output.name);
    const next: Record<string, unknown> = Object.fromEntries(
      output.value === null ? kept : [...kept, [output.name, output.value]],
    );
    checkKey('outputs', next);
    return Object.keys(next).length === 0 ? others : { ...others, outputs: next };
  });

function partsOf(patch: DesiredPatch): { readonly gone: ReadonlySet<string>; readonly given: DesiredState } {
  const entries = Object.entries(patch);
  const given = entries.filter(([, value]) => value !== null);
  for (const [key, value] of given) checkKey(key, value);
  return {
    gone: new Set(entries.filter(([, value]) => value === null).map(([key]) => key)),
    given: Object.fromEntries(given),
  };
}

async function change(
  sql: Sql,
  actor: Actor,
  deviceId: string,
  expectedVersion: number | null,
  edit: (state: DesiredState) => DesiredState,
): Promise<DesiredChange> {
  const [device] = await sql.query<{ retired_at: Date | null }>(LOCK_DEVICE, [deviceId]);
  if (device === undefined) throw new FleetError('device_unknown', deviceId);
  if (device.retired_at !== null) throw new FleetError('device_retired', deviceId);
  const [row] = await sql.query<{ version: number; state: DesiredState }>(CURRENT, [deviceId]);
  const current = row ?? { version: 0, state: {} };
  if (expectedVersion !== null && expectedVersion !== current.version)
    throw new FleetError('version_conflict', deviceId);
  const state = edit(current.state);
  checkState(state);
  await actAs(sql, actor);
  const [written] = await sql.query<{ version: number }>(WRITE, [deviceId, JSON.stringify(state), actorName(actor)]);
  if (written === undefined) return { deviceId, ...current, changed: false };
  return { deviceId, version: written.version, state, changed: true };
}
