import { actAs, type Actor } from '../customers/scope.ts';
import type { Sql } from '../ports.ts';
import type { ListEntry } from './list-entry.ts';
import type { BadLine, LineFault } from './list-lines.ts';

export interface BatchResult {
  readonly added: number;
  /** In the list already, just so. */
  readonly unchanged: number;
  readonly bad: readonly BadLine[];
}

interface JudgedRow {
  line: number;
  fault: LineFault | 'unchanged' | null;
}

/** A model is everybody's or the customer's own; a site is the customer's own. First what is wrong, then what is there. */
const JUDGE = `
  SELECT e.line, CASE
    WHEN same.serial_number = e.serial_number AND same.customer_id = $2 THEN 'unchanged'
    WHEN same.thumbprint IS NOT NULL THEN 'key_listed'
    WHEN k.thumbprint IS NOT NULL THEN 'key_registered'
    WHEN listed.serial_number IS NOT NULL THEN 'serial_number_listed'
    WHEN EXISTS (SELECT FROM devices d WHERE d.serial_number = e.serial_number AND d.customer_id = $2
      AND d.retired_at IS NULL) THEN 'serial_number_registered'
    WHEN e.model_id IS NOT NULL AND NOT EXISTS (SELECT FROM models m WHERE m.model_id = e.model_id
      AND (m.customer_id IS NULL OR m.customer_id = $2)) THEN 'model_unknown'
    WHEN e.site_id IS NOT NULL AND NOT EXISTS (SELECT FROM sites s WHERE s.site_id = e.site_id
      AND s.customer_id = $2) THEN 'site_unknown'
  END AS fault
  FROM jsonb_to_recordset($1) AS e (line int, serial_number text, thumbprint text, model_id text, site_id text)
  LEFT JOIN factory_list same ON same.thumbprint = e.thumbprint
  LEFT JOIN factory_list listed ON listed.customer_id = $2 AND listed.serial_number = e.serial_number
  LEFT JOIN device_keys k ON k.thumbprint = e.thumbprint`;

const ADD = `
  INSERT INTO factory_list (thumbprint, customer_id, serial_number, model_id, site_id, name)
  SELECT e.thumbprint, $2, e.serial_number, e.model_id, e.site_id, e.name
  FROM jsonb_to_recordset($1) AS e (serial_number text, thumbprint text, model_id text, site_id text, name text)`;

/** Writes one batch of a list, all that is good in it or nothing. In a transaction. */
export async function addEntries(
  sql: Sql,
  actor: Actor,
  customerId: string,
  entries: readonly ListEntry[],
): Promise<BatchResult> {
  // Two imports of one customer at once would not see each other's lines.
  await sql.query('SELECT pg_advisory_xact_lock(hashtext($1))', ['paddock.factory_list']);
  const judged = await sql.query<JudgedRow>(JUDGE, [rowsOf(entries), customerId]);
  const faults = new Map(judged.map(({ line, fault }) => [line, fault]));
  const good = entries.filter(({ line }) => faults.get(line) === null);
  await actAs(sql, actor);
  if (good.length > 0) await sql.query(ADD, [rowsOf(good), customerId]);
  const bad = entries.flatMap(({ line }) => badLine(line, faults.get(line) ?? null));
  return { added: good.length, unchanged: entries.length - good.length - bad.length, bad };
}

const badLine = (line: number, fault: JudgedRow['fault']): BadLine[] =>
  fault === null || fault === 'unchanged' ? [] : [{ line, code: fault }];

const rowsOf = (entries: readonly ListEntry[]): string =>
  JSON.stringify(
    entries.map(({ line, serialNumber, thumbprint, modelId, siteId, name }) => ({
      line,
      serial_number: serialNumber,
      thumbprint,
      model_id: modelId,
      site_id: siteId,
      name,
    })),
  );
