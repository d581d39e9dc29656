import type { Crash } from '@paddock/shared/crash.ts';
import { toInstant, wallMs, type TimeInterval } from '@paddock/shared/time.ts';
import { lifeAround } from '../devices/lives.ts';
import type { Authentic } from '../ingest/authenticate.ts';
import { intervalColumns } from '../ingest/record-time.ts';
import { addNotices, type Notice } from '../monitoring/notifications.ts';
import type { ErrorAt, Sql, Store } from '../ports.ts';

export interface AuthenticCrash extends Authentic {
  readonly crash: Crash;
}

/** - too-often: past what is recorded of a device in an hour */
export type Outcome = 'new' | 'repeated' | 'too-often';

export interface RecordedCrash {
  readonly outcome: Outcome;
  readonly notice: Notice | null;
}

/** A device that breaks again and again must not fill the disk. */
const MOST_IN_AN_HOUR = 20;
const HOUR_MS = 3_600_000;

// The lock makes crash reports of one device come one after the other, through whatever instance.
const LOCK_DEVICE = 'SELECT FROM devices WHERE device_id = $1 FOR NO KEY UPDATE';

const KNOWN = `
  SELECT d.customer_id, d.name,
    EXISTS (SELECT FROM crashes c WHERE c.device_id = d.device_id AND c.crash_id = $2) AS known,
    (SELECT count(*) FROM crashes c
     WHERE c.device_id = d.device_id AND c.received_at > $3 AND c.received_at < $4) AS recent
  FROM devices d WHERE d.device_id = $1`;

const ADD = `
  INSERT INTO crashes (device_id, crash_id, incarnation, start, received_at, reason, machine, detail, agent_version,
    boot_id, segment, uptime_ms, earliest, latest, basis, digest, envelope)
  SELECT device_id, crash_id, incarnation, start, received_at, reason, machine, detail, agent_version,
    boot_id, segment, uptime_ms, earliest, latest, basis, decode(digest, 'base64'), envelope
  FROM json_to_record($1) AS n (device_id text, crash_id text, incarnation text, start bigint, received_at timestamptz,
    reason text, machine text, detail text, agent_version text, boot_id text, segment integer, uptime_ms bigint,
    earliest timestamptz, latest timestamptz, basis text, digest text, envelope text)`;

interface KnownRow {
  readonly customer_id: string;
  readonly name: string;
  readonly known: boolean;
  readonly recent: number;
}

/** Records a crash report once, however often it comes, with the notice of it, in one transaction. */
export const recordCrash = (store: Store, message: AuthenticCrash, errorAt: ErrorAt): Promise<RecordedCrash> =>
  store.transaction((sql) => record(sql, message, errorAt));

async function record(sql: Sql, message: AuthenticCrash, errorAt: ErrorAt): Promise<RecordedCrash> {
  const { deviceId, crash, receivedAt } = message;
  await sql.query(LOCK_DEVICE, [deviceId]);
  const around = [wallMs(receivedAt - HOUR_MS), wallMs(receivedAt + HOUR_MS)].map(toInstant);
  const [row] = await sql.query<KnownRow>(KNOWN, [deviceId, crash.id, ...around]);
  if (row === undefined) throw new Error(`The device ${deviceId} is gone`);
  if (row.known) return { outcome: 'repeated', notice: null };
  if (row.recent >= MOST_IN_AN_HOUR) return { outcome: 'too-often', notice: null };
  await sql.query(ADD, [JSON.stringify(rowOf(message, await placed(sql, message, errorAt)))]);
  const notice = noticeOf(message, row);
  await addNotices(sql, [notice]);
  return { outcome: 'new', notice };
}

/** The last sign of life before it; of a device that knows none, the moment at which it looked. */
const endOf = ({ began: { before }, boot, segment = 0, uptimeMs }: Crash) => ({
  boot_id: before?.boot.id ?? boot.id,
  segment: before ? (before.segment ?? 0) : segment,
  uptime_ms: before?.uptimeMs ?? uptimeMs,
});

/** It was before the start that tells of it looked, wherever that is placed. */
async function placed(sql: Sql, { deviceId, crash, receivedAt }: AuthenticCrash, errorAt: ErrorAt) {
  const { boot, segment = 0, uptimeMs } = crash;
  const end = endOf(crash);
  const life = await lifeAround(sql, deviceId, [end, { boot_id: boot.id, segment, uptime_ms: uptimeMs }]);
  const arrivedBy = wallMs(receivedAt + 1 + errorAt(receivedAt));
  const looked = life.place({ bootId: boot.id, segment, uptimeMs, arrivedBy });
  return life.place({
    bootId: end.boot_id,
    segment: end.segment,
    uptimeMs: end.uptime_ms,
    arrivedBy: wallMs(Math.min(arrivedBy, Math.ceil(looked.latest))),
  });
}

const rowOf = ({ deviceId, crash, receivedAt, digest, envelope }: AuthenticCrash, interval: TimeInterval) => ({
  device_id: deviceId,
  crash_id: crash.id,
  incarnation: crash.incarnation,
  start: crash.start,
  received_at: toInstant(receivedAt),
  reason: crash.began.agent.reason,
  machine: crash.began.machine?.reason ?? null,
  detail: crash.began.agent.detail ?? crash.began.machine?.detail ?? null,
  agent_version: crash.agent?.version ?? null,
  ...endOf(crash),
  ...intervalColumns(interval),
  digest: `${digest.replaceAll('-', '+').replaceAll('_', '/')}=`,
  envelope,
});

function noticeOf({ deviceId, crash, receivedAt }: AuthenticCrash, { customer_id, name }: KnownRow): Notice {
  const { agent, machine } = crash.began;
  const data = {
    deviceId,
    customerId: customer_id,
    name,
    crashId: crash.id,
    reason: agent.reason,
    machine: machine?.reason ?? null,
    detail: agent.detail ?? machine?.detail ?? null,
    basedOn: agent.basedOn,
  };
  return { type: 'device.crash', occurredAt: receivedAt, deviceId, customerId: customer_id, data };
}
