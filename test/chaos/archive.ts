import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { fromMultirange } from '@paddock/cloud/ingest/ranges.ts';
import type { Sql } from '@paddock/cloud/ports.ts';
import { digestOf, openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { parseReport, type Report } from '@paddock/shared/report.ts';

/** A row of the archive, with what its envelope says. */
export interface Archived {
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  /** Place of the incarnation among the device's. */
  readonly ordinal: number;
  readonly digest: string;
  /** The interval of its moment; `earliest` is null when nothing bounds it from below. */
  readonly earliest: Date | null;
  readonly latest: Date;
  /** As it was signed; null when the envelope does not verify, or says something else than its row. */
  readonly report: Report | null;
}

/** A change of a reading, as the table of changes has it. */
export interface StoredChange {
  readonly incarnation: string;
  readonly start: number;
  readonly sensor: string;
  readonly changes: number;
  readonly uptimeMs: number;
  readonly earliest: Date | null;
  readonly latest: Date;
}

/** All that the database holds of one device. */
export interface Database {
  readonly archive: readonly Archived[];
  readonly changes: readonly StoredChange[];
  readonly starts: readonly {
    readonly incarnation: string;
    readonly start: number;
    readonly recorded: readonly (readonly [number, number])[];
  }[];
  readonly state: {
    readonly incarnation: string;
    readonly start: number;
    readonly sequence: number;
    readonly digest: string;
    readonly report: Report | null;
  } | null;
  readonly incarnations: number;
  /** Codes of refused messages. */
  readonly rejections: readonly string[];
}

/** Reads all that is known of a device, past the code that answers for it. */
export async function readDatabase(sql: Sql, device: string, key: VerificationKey): Promise<Database> {
  const rows = await sql.query<Sealed<Omit<Archived, 'report'>>>(
    `SELECT incarnation, start, sequence, ordinal, encode(digest, 'base64') AS digest, earliest, latest, envelope
     FROM reports JOIN incarnations USING (device_id, incarnation) WHERE device_id = $1`,
    [device],
  );
  const changes = await sql.query<StoredChange>(
    `SELECT incarnation, start, sensor, changes, uptime_ms AS "uptimeMs", earliest, latest
     FROM changes WHERE device_id = $1`,
    [device],
  );
  const starts = await sql.query<{ incarnation: string; start: number; recorded: string }>(
    'SELECT incarnation, start, recorded::text FROM starts WHERE device_id = $1',
    [device],
  );
  const [state] = await sql.query<Sealed<Omit<NonNullable<Database['state']>, 'report'>>>(
    `SELECT incarnation, start, sequence, encode(digest, 'base64') AS digest, envelope
     FROM device_state WHERE device_id = $1`,
    [device],
  );
  const incarnations = await sql.query('SELECT incarnation FROM incarnations WHERE device_id = $1', [device]);
  const rejections = await sql.query<{ code: string }>('SELECT code FROM rejected_reports WHERE device_id = $1', [
    device,
  ]);
  return {
    archive: await Promise.all(rows.map((row) => open(row, device, key))),
    changes,
    starts: starts.map((row) => ({ ...row, recorded: fromMultirange(row.recorded) })),
    state: state ? await open(state, device, key) : null,
    incarnations: incarnations.length,
    rejections: rejections.map(({ code }) => code),
  };
}

type Sealed<Row> = Row & { readonly envelope: string };
type Identified = Pick<Archived, 'incarnation' | 'start' | 'sequence' | 'digest'>;

async function open<Row extends Identified>(
  { envelope, ...row }: Sealed<Row>,
  device: string,
  key: VerificationKey,
): Promise<Omit<Sealed<Row>, 'envelope'> & { readonly report: Report | null }> {
  try {
    const parsed = parseEnvelope(envelope);
    const report = parseReport(await openEnvelope(parsed, key, inflater));
    const digest = Buffer.from(await digestOf(parsed), 'base64url').toString('base64');
    const same =
      digest === row.digest &&
      report.device === device &&
      report.incarnation === row.incarnation &&
      report.start === row.start &&
      report.sequence === row.sequence;
    return { ...row, report: same ? report : null };
  } catch {
    return { ...row, report: null };
  }
}
