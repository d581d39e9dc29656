import type { Admission, Clock, ConnectionRefusal, DeviceConnection, Log, Sql } from '../ports.ts';

/** What the database knows of a device that wants to be connected. */
export interface Standing {
  readonly retired: boolean;
  /** Serials that were taken back. */
  readonly revoked: readonly string[];
  /** Whether a certificate was ever given to it. */
  readonly certified: boolean;
}

const STANDINGS = `
  SELECT d.device_id, d.retired_at IS NOT NULL AS retired,
    ARRAY(SELECT serial FROM certificates c WHERE c.device_id = d.device_id AND c.revoked_at IS NOT NULL) AS revoked,
    EXISTS (SELECT FROM certificates c WHERE c.device_id = d.device_id) AS certified
  FROM devices d WHERE d.device_id = ANY($1)`;

/** Certificates of connections that stand are looked at so often: whether they have expired. */
const LOOK_EVERY_MS = 60_000;
/** While the database is away. */
const TRY_AGAIN_MS = 1_000;

/**
 * Whether such a connection is good. One with a certificate: as long as the device and the certificate are. A plain one
 * proves nothing, and is believed nothing: only a device that has a certificate must not come without it, or whoever
 * reaches the plain port could take its place.
 */
export function judge(
  connection: Pick<DeviceConnection, 'certificate'>,
  known: Standing | null,
): ConnectionRefusal | null {
  const { certificate } = connection;
  if (certificate === null) return known?.certified ? 'certificate_missing' : null;
  if (known === null) return 'device_unknown';
  if (known.retired) return 'device_retired';
  return known.revoked.includes(certificate.serial) ? 'certificate_revoked' : null;
}

/** How somebody is told of the verdict on a connection that waits for it. */
type Waiting = (refusal: ConnectionRefusal | null) => void;

/**
 * Who may be connected, read from the database: one query for all devices that came together or of which something
 * changed. Invariant: a change that is notified after a connection was let in closes it, because it is watched before
 * its query begins.
 */
export class StoredAdmission implements Admission {
  readonly #sql: Sql;
  readonly #clock: Clock;
  readonly #log: Log;
  /** By device: usually one, two while one takes the other over. */
  readonly #connections = new Map<string, Set<DeviceConnection>>();
  readonly #waiting = new Map<DeviceConnection, Waiting>();
  /** Devices that the next query asks for. */
  #asked = new Set<string>();
  #asking = false;
  #isAway = false;
  #isStopped = false;

  constructor({ sql, clock, log }: { sql: Sql; clock: Clock; log: Log }) {
    this.#sql = sql;
    this.#clock = clock;
    this.#log = log;
  }

  admit(connection: DeviceConnection): Promise<ConnectionRefusal | null> {
    const { deviceId } = connection;
    const together = this.#connections.get(deviceId) ?? new Set();
    this.#connections.set(deviceId, together.add(connection));
    const { promise, resolve } = Promise.withResolvers<ConnectionRefusal | null>();
    this.#waiting.set(connection, resolve);
    this.changed(deviceId);
    return promise;
  }

  gone(connection: DeviceConnection): void {
    const together = this.#connections.get(connection.deviceId);
    together?.delete(connection);
    if (together?.size === 0) this.#connections.delete(connection.deviceId);
    this.#settle(connection, null);
  }

  /** Something about the device changed: its connections are judged anew. */
  changed(deviceId: string): void {
    if (!this.#connections.has(deviceId)) return;
    this.#asked.add(deviceId);
    if (!this.#asking) void this.#ask();
  }

  /** Anything may have changed unheard. */
  changedAll(): void {
    for (const deviceId of this.#connections.keys()) this.changed(deviceId);
  }

  /** Closes connections whose certificate has expired meanwhile, as long as the service runs. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = this.#clock.wall();
      for (const together of this.#connections.values())
        for (const connection of together)
          if (connection.certificate !== null && connection.certificate.notAfter < now)
            this.#refuse(connection, 'certificate_expired');
      await this.#clock.sleep(LOOK_EVERY_MS, signal);
    }
    this.#isStopped = true;
  }

  /** One query after the other, each for all that were asked about since the one before began. */
  async #ask(): Promise<void> {
    this.#asking = true;
    // Who comes in the same turn of the event loop comes together.
    await Promise.resolve();
    while (this.#asked.size > 0 && !this.#isStopped) {
      const ids = [...this.#asked];
      this.#asked = new Set();
      await this.#read(ids).then(
        (known) => this.#judge(ids, (connection, id) => judge(connection, known.get(id) ?? null)),
        (error: unknown) => this.#unavailable(ids, error),
      );
    }
    this.#asking = false;
  }

  async #read(ids: readonly string[]): Promise<ReadonlyMap<string, Standing>> {
    const rows = await this.#sql.query<Standing & { device_id: string }>(STANDINGS, [ids]);
    this.#isAway = false;
    return new Map(rows.map((row) => [row.device_id, row]));
  }

  #judge(
    ids: readonly string[],
    verdictOn: (connection: DeviceConnection, id: string) => ConnectionRefusal | null,
  ): void {
    for (const id of ids)
      for (const connection of this.#connections.get(id) ?? []) {
        const code = verdictOn(connection, id);
        if (code === null) this.#settle(connection, null);
        else this.#refuse(connection, code);
      }
  }

  /**
   * Nobody is let in on a guess. Who is connected stays and is asked about again; so is a plain connection, which is
   * believed nothing anyway.
   */
  async #unavailable(ids: readonly string[], error: unknown): Promise<void> {
    if (!this.#isAway)
      this.#log.warn({ err: error }, 'Whether devices may connect cannot be read; trying until it can');
    this.#isAway = true;
    this.#judge(ids, (connection) =>
      connection.certificate !== null && this.#waiting.has(connection) ? 'admission_unavailable' : null,
    );
    await this.#clock.sleep(TRY_AGAIN_MS);
    for (const id of ids) if (this.#connections.has(id)) this.#asked.add(id);
  }

  #refuse(connection: DeviceConnection, code: ConnectionRefusal): void {
    if (this.#settle(connection, code)) return;
    connection.close(code);
    this.gone(connection);
  }

  #settle(connection: DeviceConnection, refusal: ConnectionRefusal | null): boolean {
    const settle = this.#waiting.get(connection);
    this.#waiting.delete(connection);
    settle?.(refusal);
    return settle !== undefined;
  }
}
