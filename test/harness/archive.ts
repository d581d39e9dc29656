import { registerDevice } from '@paddock/cloud/devices/registry.ts';
import type { Sql, Store } from '@paddock/cloud/ports.ts';
import { digestOf, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import type { Report } from '@paddock/shared/report.ts';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { reportOf } from './reports.ts';
import { makeTestKey, type TestKey } from './signing.ts';

/** A registered device of a test, with its key. */
export interface TestDevice {
  readonly deviceId: string;
  readonly key: TestKey;
}

/** Registers a device with a key of its own. */
export async function addDevice(store: Store, deviceId: string, customerId = 'default'): Promise<TestDevice> {
  const key = await makeTestKey();
  const input = { deviceId, publicKey: key.publicJwk, customerId };
  await store.transaction((sql) => registerDevice(sql, { customerId: null }, 'test', input));
  return { deviceId, key };
}

/** Puts a report into the archive and makes it the last known state, past the ingest; with a real signature. */
export async function record(
  sql: Sql,
  device: TestDevice,
  receivedAt: number,
  fields: Partial<Report> = {},
): Promise<{ report: Report; envelope: string }> {
  const report = reportOf({ device: device.deviceId, ...fields });
  const envelope = await seal('report', report, device.key.signing, deflater);
  const digest = Buffer.from(await digestOf(parseEnvelope(envelope)), 'base64url');
  const at = new Date(receivedAt);
  await sql.query(
    `INSERT INTO reports (received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger,
       latest, basis, digest, envelope) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $1, 'arrival', $9, $10)`,
    [at, report.device, ...identityOf(report), report.trigger.kind, digest, envelope],
  );
  await moveStates(sql, [report.device], receivedAt, report, { envelope, digest });
  return { report, envelope };
}

const MOVE_STATE = `
  INSERT INTO device_state AS s (device_id, revision, ordinal, incarnation, start, sequence, boot_id, uptime_ms,
    received_at, heard_at, latest, basis, digest, segment, next_within_ms, goodbye, envelope)
  SELECT device_id, nextval('state_revision'), 1, $2, $3, $4, $5, $6, $7, $7, $7, 'arrival', $8, 0, $9, $10, $11
  FROM unnest($1::text[]) AS device_id
  ON CONFLICT (device_id) DO UPDATE SET revision = excluded.revision, start = excluded.start,
    sequence = excluded.sequence, uptime_ms = excluded.uptime_ms, received_at = excluded.received_at,
    heard_at = excluded.heard_at, latest = excluded.latest, digest = excluded.digest,
    next_within_ms = excluded.next_within_ms, goodbye = excluded.goodbye, envelope = excluded.envelope`;

const identityOf = ({ incarnation, start, sequence, boot, uptimeMs }: Report) => [
  incarnation,
  start,
  sequence,
  boot.id,
  uptimeMs,
];

/** Lets many devices be heard at once: a last known state without an archive row behind it. */
export async function hearAll(
  sql: Sql,
  deviceIds: readonly string[],
  receivedAt: number,
  fields: Partial<Report> = {},
): Promise<void> {
  const report = reportOf(fields);
  const { signing } = await makeTestKey();
  const envelope = await seal('report', report, signing, deflater);
  await moveStates(sql, deviceIds, receivedAt, report, { envelope, digest: new Uint8Array(32) });
}

async function moveStates(
  sql: Sql,
  deviceIds: readonly string[],
  receivedAt: number,
  report: Report,
  { envelope, digest }: { readonly envelope: string; readonly digest: Uint8Array },
): Promise<void> {
  const { nextWithinMs, trigger } = report;
  const judged = [nextWithinMs, trigger.kind === 'shutdown'];
  const values = [[...deviceIds], ...identityOf(report), new Date(receivedAt), digest, ...judged, envelope];
  await sql.query(MOVE_STATE, values);
  for (const deviceId of deviceIds)
    await sql.query(`SELECT pg_notify('paddock_recorded', $1)`, [JSON.stringify([deviceId])]);
}

/** Registers many devices at once, without keys: enough for what is judged by their last known state. */
export async function addDevices(store: Store, deviceIds: readonly string[]): Promise<void> {
  await store.transaction(async (sql) => {
    await sql.query(`SELECT set_config('paddock.actor', 'test', true)`);
    await sql.query(
      `INSERT INTO devices (device_id, customer_id, name) SELECT id, 'default', id FROM unnest($1::text[]) AS id`,
      [[...deviceIds]],
    );
  });
}
