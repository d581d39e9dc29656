import type { RefusalCode } from '@paddock/shared/errors.ts';
import { toInstant } from '@paddock/shared/time.ts';
import type { Audit, AuditEntry, Clock, Log, Metrics, Sql } from '../ports.ts';
import type { RefusedMessage } from './authenticate.ts';

/** Bounds: whoever floods us with rubbish fills a small table, not the disk, and hides no other device's rubbish. */
const KEPT_PER_DEVICE = 100;
const KEPT = 10_000;
const MAX_WAITING = 200;
const ENVELOPE_CHARS = 4096;
const FLUSH_EVERY_MS = 1000;

/** Refusals that say that somebody is not who it says to be, or not any more: they are for the audit log, too. */
const TRUST_CODES: readonly RefusalCode[] = [
  'alg_refused',
  'device_unknown',
  'device_retired',
  'device_mismatch',
  'key_unknown',
  'key_revoked',
  'signature_invalid',
];

const ADD = `
  INSERT INTO rejected_reports (received_at, device_id, code, detail, topic, envelope)
  SELECT * FROM json_to_recordset($1)
    AS r (received_at timestamptz, device_id text, code text, detail text, topic text, envelope text)`;

// What another instance is deleting at the moment is passed over: nobody waits for anybody.
const TRIM_DEVICES = `
  DELETE FROM rejected_reports WHERE id IN (
    SELECT r.id FROM rejected_reports r JOIN unnest($1::text[]) AS d (device_id) USING (device_id)
    WHERE r.id < (
      SELECT id FROM rejected_reports k WHERE k.device_id = d.device_id ORDER BY id DESC OFFSET $2 LIMIT 1)
    FOR UPDATE OF r SKIP LOCKED)`;

const TRIM_ALL = `
  DELETE FROM rejected_reports WHERE id IN (
    SELECT id FROM rejected_reports
    WHERE id < (SELECT id FROM rejected_reports ORDER BY id DESC OFFSET $1 LIMIT 1)
    FOR UPDATE SKIP LOCKED)`;

/** Counts every refused message by its code, and keeps the newest ones for a look at them. */
export class Rejections {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #metrics: Metrics;
  readonly #log: Log;
  readonly #audit: Audit;
  readonly #stopping = new AbortController();
  #waiting: RefusedMessage[] = [];
  #flushing: Promise<void> | null = null;

  constructor(deps: { sql: Sql; clock: Clock; metrics: Metrics; log: Log; audit: Audit }) {
    this.#sql = deps.sql;
    this.#clock = deps.clock;
    this.#metrics = deps.metrics;
    this.#log = deps.log;
    this.#audit = deps.audit;
  }

  add(refused: RefusedMessage): void {
    const { code, detail, deviceId } = refused;
    this.#metrics.count('paddock_reports_rejected_total', { code });
    this.#log.debug({ code, deviceId, detail }, 'Refused a message');
    if (TRUST_CODES.includes(code)) void this.#audit.add(auditEntry(refused));
    if (this.#waiting.length >= MAX_WAITING) return;
    this.#waiting.push(refused);
    this.#flushing ??= this.#flush();
  }

  /** Writes what waits, and stops. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#flushing;
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#clock.sleep(FLUSH_EVERY_MS, this.#stopping.signal);
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#write(batch).catch((cause: unknown) => {
        this.#log.warn({ err: cause, lost: batch.length }, 'Refused messages were counted but could not be kept');
      });
    }
    this.#flushing = null;
  }

  async #write(batch: readonly RefusedMessage[]): Promise<void> {
    await this.#sql.query(ADD, [JSON.stringify(batch.map(row))]);
    const devices = new Set(batch.flatMap(({ deviceId }) => deviceId ?? []));
    await this.#sql.query(TRIM_DEVICES, [[...devices], KEPT_PER_DEVICE - 1]);
    await this.#sql.query(TRIM_ALL, [KEPT - 1]);
  }
}

/** The actor is whose connection it came through, as far as that is proved: the device that it is told to be of is another matter. */
function auditEntry({ code, deviceId, topic, detail, origin }: RefusedMessage): AuditEntry {
  const sender = origin?.deviceId ?? null;
  const address = origin?.address ?? null;
  return {
    actor: sender === null ? 'unknown' : `device:${sender}`,
    action: 'publish',
    result: 'refused',
    code,
    ...(deviceId !== null && { deviceId }),
    ...(address !== null && { address }),
    detail: { topic, detail },
  };
}

const row = ({ receivedAt, deviceId, code, detail, topic, payload }: RefusedMessage) => ({
  received_at: toInstant(receivedAt),
  device_id: deviceId,
  code,
  detail: storable(detail),
  topic: storable(topic),
  envelope: storable(payload.slice(0, ENVELOPE_CHARS)),
});

/** PostgreSQL's text holds no U+0000, and JSON no half of a surrogate pair. */
const storable = (text: string): string => text.replaceAll('\0', '\u{fffd}').toWellFormed();
