import { DEFAULT_CUSTOMER, readCustomer } from '../customers/customers.ts';
import { requireReach, type Actor, type Scope } from '../customers/scope.ts';
import type { Spool, Store } from '../ports.ts';
import { CsvReader } from './csv.ts';
import { JsonItemReader } from './json-items.ts';
import { addEntries } from './list-batch.ts';
import { entryOf, type ListEntry } from './list-entry.ts';
import { isBad, ListFileError, type BadLine, type RawLine, type RecordReader } from './list-lines.ts';

export type ListFormat = 'csv' | 'json';

/** What an import tells while it goes on, and at the end. */
export type ImportEvent =
  /** Of records that came and can be read; nothing is written yet. */
  | { readonly kind: 'reading'; readonly records: number }
  | ({ readonly kind: 'bad' } & BadLine)
  | ({ readonly kind: 'progress' | 'done' } & ImportCounts);

export interface ImportCounts {
  /** Records that were read, good or bad. */
  readonly records: number;
  readonly added: number;
  readonly unchanged: number;
  readonly bad: number;
}

export interface ListImport {
  readonly scope: Scope;
  readonly actor: Actor;
  /** By default the scope's own customer, or `default`. */
  readonly customerId?: string | undefined;
  readonly format: ListFormat;
  readonly chunks: AsyncIterable<Uint8Array>;
}

const BATCH = 500;
const MOST_RECORDS = 1_000_000;
/** Many times what a factory makes in a year. */
const LARGEST_FILE = 67_108_864;
const READERS = { csv: CsvReader, json: JsonItemReader } as const satisfies Record<ListFormat, new () => RecordReader>;

/**
 * Whose list it becomes, before anything of it is read.
 * @throws FleetError `scope_forbidden`, `customer_unknown`
 */
export async function customerOfImport(store: Store, { scope, customerId }: Pick<ListImport, 'scope' | 'customerId'>) {
  const owner = customerId ?? scope.customerId ?? DEFAULT_CUSTOMER;
  requireReach(scope, owner);
  await readCustomer(store, scope, owner);
  return owner;
}

/**
 * Takes a list as it comes, at the pace of the disk, and reads all of it before anything is written: a file that cannot
 * be read to its end changes nothing. Then it is written batch by batch; the same file again changes nothing of it, and
 * completes what a failure of the service left undone.
 * @throws ListFileError
 */
export async function* importList(
  store: Store,
  given: ListImport,
  openSpool: () => Promise<Spool>,
): AsyncGenerator<ImportEvent> {
  const customerId = await customerOfImport(store, given);
  const spool = await openSpool();
  try {
    yield* take(given, spool);
    yield* write(store, { ...given, customerId, chunks: spool.read() });
  } finally {
    await spool.close();
  }
}

async function* take(given: ListImport, spool: Spool): AsyncGenerator<ImportEvent> {
  let records = 0;
  for await (const batch of batchesOf(recordsOf({ ...given, chunks: kept(given.chunks, spool) }))) {
    records += batch.length;
    if (records > MOST_RECORDS) throw new ListFileError('file_too_long');
    yield { kind: 'reading', records };
  }
}

async function* kept(chunks: AsyncIterable<Uint8Array>, spool: Spool): AsyncGenerator<Uint8Array> {
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > LARGEST_FILE) throw new ListFileError('file_too_long');
    await spool.write(chunk);
    yield chunk;
  }
}

async function* write(store: Store, given: ListImport & { readonly customerId: string }): AsyncGenerator<ImportEvent> {
  const seen = new Seen();
  const counts = { records: 0, added: 0, unchanged: 0, bad: 0 };
  for await (const records of batchesOf(recordsOf(given))) {
    const judged = (await Promise.all(records.map(async (one) => (isBad(one) ? one : entryOf(one))))).map((one) =>
      isBad(one) ? one : seen.judge(one),
    );
    const entries = judged.filter((one): one is ListEntry => !isBad(one));
    const result = await store.transaction((sql) => addEntries(sql, given.actor, given.customerId, entries));
    const bad = [...judged.filter(isBad), ...result.bad].toSorted((a, b) => a.line - b.line);
    counts.records += records.length;
    counts.added += result.added;
    counts.unchanged += result.unchanged;
    counts.bad += bad.length;
    for (const one of bad) yield { kind: 'bad', ...one };
    yield { kind: 'progress', ...counts };
  }
  yield { kind: 'done', ...counts };
}

/** What stood in the file before. */
class Seen {
  readonly #serialNumbers = new Map<string, number>();
  readonly #thumbprints = new Map<string, number>();

  judge(entry: ListEntry): ListEntry | BadLine {
    const { line, serialNumber, thumbprint } = entry;
    const serialBefore = this.#serialNumbers.get(serialNumber);
    if (serialBefore !== undefined) return { line, code: 'serial_number_twice', detail: `line ${serialBefore}` };
    const keyBefore = this.#thumbprints.get(thumbprint);
    if (keyBefore !== undefined) return { line, code: 'key_twice', detail: `line ${keyBefore}` };
    this.#serialNumbers.set(serialNumber, line);
    this.#thumbprints.set(thumbprint, line);
    return entry;
  }
}

async function* recordsOf({ chunks, format }: ListImport): AsyncGenerator<RawLine | BadLine> {
  const reader = new READERS[format]();
  // A byte order mark is dropped by the decoder.
  const decoder = new TextDecoder('utf-8', { fatal: true });
  for await (const chunk of chunks) yield* reader.push(decoded(() => decoder.decode(chunk, { stream: true })));
  yield* reader.push(decoded(() => decoder.decode()));
  yield* reader.end();
}

function decoded(decode: () => string): string {
  try {
    return decode();
  } catch (cause) {
    throw new ListFileError('text_not_utf8', undefined, { cause });
  }
}

async function* batchesOf<T>(items: AsyncIterable<T>): AsyncGenerator<T[]> {
  let batch: T[] = [];
  for await (const item of items) {
    batch.push(item);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}
