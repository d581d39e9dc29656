import type { KeyList } from '@paddock/shared/enrolment.ts';
import { Refusal } from '@paddock/shared/errors.ts';
import { openKeyList } from '@paddock/shared/key-list.ts';
import { importVerificationKey, type VerificationKey } from '@paddock/shared/keys.ts';
import type { Sql } from '../ports.ts';

/** A list that is offered and not taken. Codes are stable. */
export const KEY_LIST_ERRORS = {
  key_list_invalid: 'The list is not one that the fleet root of the newest list sealed',
  authority_unknown: 'No such authority, or more than one whose id begins so',
  authority_unlisted: 'Devices do not know this authority: the newest list of keys does not name it',
  authority_in_use: 'It issues certificates, or the settings name it: it cannot be withdrawn now',
  key_list_out_of_step: 'Another list was added meanwhile: make the next one from that',
} as const satisfies Record<string, string>;

export class KeyListError extends Error {
  override readonly name = 'KeyListError';
  readonly code: keyof typeof KEY_LIST_ERRORS;
  constructor(code: KeyListError['code'], detail: string, options?: ErrorOptions) {
    super(`${KEY_LIST_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** A stored list: as it is sealed, and what it says. */
export interface StoredKeyList {
  readonly sealed: string;
  readonly list: KeyList;
}

interface Row {
  sealed: string;
  list: KeyList;
}

/** The newest list, null before the first. */
export async function newestKeyList(sql: Sql): Promise<StoredKeyList | null> {
  const [row] = await sql.query<Row>('SELECT sealed, list FROM key_lists ORDER BY version DESC LIMIT 1');
  return row ?? null;
}

/** One list of the walk, null where there is none. */
export async function keyListOf(sql: Sql, version: number): Promise<StoredKeyList | null> {
  const [row] = await sql.query<Row>('SELECT sealed, list FROM key_lists WHERE version = $1', [version]);
  return row ?? null;
}

/** All of them, newest first. */
export const keyLists = (sql: Sql, limit: number): Promise<StoredKeyList[]> =>
  sql.query<Row>('SELECT sealed, list FROM key_lists ORDER BY version DESC LIMIT $1', [limit]);

/**
 * Adds the next list, in a transaction. The first one is sealed by the root that it names; every other one by the root
 * that the one before names.
 * @throws KeyListError
 */
export async function addKeyList(sql: Sql, sealed: string, firstRoot: VerificationKey | null): Promise<KeyList> {
  // One at a time, whichever instance: the version is the next one.
  await sql.query('LOCK TABLE key_lists IN SHARE ROW EXCLUSIVE MODE');
  const newest = await newestKeyList(sql);
  const list = await opened(sealed, newest?.list ?? null, firstRoot);
  await importVerificationKey(list.root).catch((cause: unknown) => {
    throw new KeyListError('key_list_invalid', 'its root is no key', { cause });
  });
  await sql.query('INSERT INTO key_lists (version, sealed, list) VALUES ($1, $2, $3)', [
    list.version,
    sealed,
    JSON.stringify(list),
  ]);
  return list;
}

async function opened(sealed: string, newest: KeyList | null, firstRoot: VerificationKey | null): Promise<KeyList> {
  const root = newest === null ? firstRoot : await importVerificationKey(newest.root);
  if (root === null) throw new KeyListError('key_list_invalid', 'there is no list that it could follow');
  const list = await openKeyList(sealed, root).catch((cause: unknown) => {
    if (cause instanceof Refusal) throw new KeyListError('key_list_invalid', cause.message, { cause });
    throw cause;
  });
  const next = (newest?.version ?? 0) + 1;
  if (list.version !== next) throw new KeyListError('key_list_out_of_step', `${list.version} is not ${next}`);
  if (list.epoch < (newest?.epoch ?? 0)) throw new KeyListError('key_list_invalid', 'its epoch goes back');
  return list;
}
