import type { DesiredError, ReportedDesired } from '@paddock/shared/desired.ts';
import type { Sql } from '../ports.ts';

/** What is to be known of a device with every report of it. */
export interface Standing {
  readonly version: number;
  /** What it reported when that was last written down. */
  readonly reported: ReportedDesired | null;
}

const ALL = `SELECT device_id, version, reported FROM desired_states`;
const SOME = `${ALL} WHERE device_id = ANY($1)`;

interface Row {
  device_id: string;
  version: number;
  reported: ReportedDesired | null;
}

/**
 * The standing of every device that anything was ever set of, in memory: reports and answers ask for it all the time.
 * Some 200 bytes each. NOTIFY tells of changes; what is a moment old costs an answer that names the version before.
 */
export class Standings {
  readonly #sql: Sql;
  readonly #known = new Map<string, Standing>();

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  of(deviceId: string): Standing | null {
    return this.#known.get(deviceId) ?? null;
  }

  async readAll(): Promise<void> {
    this.#remember(await this.#sql.query<Row>(ALL));
  }

  async read(deviceIds: readonly string[]): Promise<void> {
    this.#remember(await this.#sql.query<Row>(SOME, [deviceIds]));
  }

  /** Of one device no version is ever taken back: answers of two queries may come in the wrong order. */
  #remember(rows: readonly Row[]): void {
    for (const { device_id, version, reported } of rows)
      if (version >= (this.#known.get(device_id)?.version ?? 0)) this.#known.set(device_id, { version, reported });
  }
}

/** As it is written down and compared: without what a newer program may say besides, in one spelling. */
export function reportedOf(desired: ReportedDesired | undefined): ReportedDesired | null {
  if (desired === undefined) return null;
  const { epoch, version, errors = {}, withheld } = desired;
  const named = Object.entries(errors).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const plain = named.map(([key, { code, detail }]): [string, DesiredError] => [
    key,
    { code, ...(detail !== undefined && { detail }) },
  ]);
  return {
    epoch,
    version,
    ...(named.length > 0 && { errors: Object.fromEntries(plain) }),
    ...(withheld && { withheld: { epoch: withheld.epoch, version: withheld.version } }),
  };
}

export const isSameReport = (one: ReportedDesired | null, other: ReportedDesired | null): boolean =>
  JSON.stringify(reportedOf(one ?? undefined)) === JSON.stringify(reportedOf(other ?? undefined));

/** Whether a device lacks what is current. */
export const isBehind = (current: { epoch: number; version: number }, reported: ReportedDesired | null): boolean =>
  reported === null ||
  reported.epoch < current.epoch ||
  (reported.epoch === current.epoch && reported.version < current.version);
