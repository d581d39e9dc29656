import { createHash, randomBytes } from 'node:crypto';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Sql } from '../ports.ts';
import { checkedText } from './attributes.ts';
import type { Page, PageRequest } from './catalogue.ts';
import { readCustomer } from './customers.ts';
import { FleetError } from './errors.ts';
import { actAs, ALL_CUSTOMERS, requireReach, type Actor, type Scope } from './scope.ts';

/** An API token as it is listed: never the token itself. */
export interface ApiToken {
  readonly tokenId: string;
  readonly name: string;
  /** Null: every customer. */
  readonly customerId: string | null;
  readonly createdAt: string;
  readonly revokedAt: string | null;
  /** To the minute. */
  readonly lastUsedAt: string | null;
}

/** Who came with a token, and how far it reaches. */
export interface Authenticated {
  readonly tokenId: string;
  readonly scope: Scope;
  /** For the history. */
  readonly actor: Actor;
}

interface TokenRow {
  token_id: string;
  name: string;
  customer_id: string | null;
  created_at: Date;
  revoked_at: Date | null;
  last_used_at: Date | null;
}

const COLUMNS = 'token_id, name, customer_id, created_at, revoked_at, last_used_at';
const PREFIX = 'paddock_';
const LONGEST = 256;

const hashOf = (token: string): Buffer => createHash('sha256').update(token).digest();

/** 32 random bytes behind a prefix that scanners for leaked secrets can know. */
export const newToken = (): string => `${PREFIX}${randomBytes(32).toString('base64url')}`;

/**
 * Makes a token and keeps only its hash: the token is in the answer, and nowhere else ever again.
 * @param input.customerId by default the scope's own customer
 * @throws FleetError `scope_forbidden`, `customer_unknown`, `text_invalid`
 */
export async function createToken(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  input: { readonly name: string; readonly customerId?: string | null | undefined },
): Promise<{ readonly token: string; readonly apiToken: ApiToken }> {
  const customerId = input.customerId === undefined ? scope.customerId : input.customerId;
  requireReach(scope, customerId);
  if (customerId !== null) await readCustomer(sql, scope, customerId);
  const token = newToken();
  await actAs(sql, actor);
  const [row] = await sql.query<TokenRow>(
    `INSERT INTO api_tokens (token_id, name, hash, customer_id) VALUES ($1, $2, $3, $4) RETURNING ${COLUMNS}`,
    [randomBytes(9).toString('base64url'), checkedText(input.name), hashOf(token), customerId],
  );
  return { token, apiToken: viewOf(row as TokenRow) };
}

/**
 * Registers the operator's token of a data directory, which reaches every customer. One that is known stays as it is,
 * so that a revoked one stays revoked; a new file makes a new token beside the old one.
 */
export async function registerOperatorToken(sql: Sql, token: string): Promise<void> {
  const hash = hashOf(token);
  await actAs(sql, 'service');
  await sql.query('INSERT INTO api_tokens (token_id, name, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING', [
    `operator-${hash.toString('hex').slice(0, 12)}`,
    'operator',
    hash,
  ]);
}

/** @returns null for a token that is unknown or revoked */
export async function authenticateToken(sql: Sql, token: string): Promise<Authenticated | null> {
  if (token.length > LONGEST) return null;
  const [row] = await sql.query<TokenRow>(
    `WITH used AS (
       UPDATE api_tokens SET last_used_at = now()
       WHERE hash = $1 AND revoked_at IS NULL AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
     SELECT ${COLUMNS} FROM api_tokens WHERE hash = $1 AND revoked_at IS NULL`,
    [hashOf(token)],
  );
  if (!row) return null;
  const scope = row.customer_id === null ? ALL_CUSTOMERS : { customerId: row.customer_id };
  return { tokenId: row.token_id, scope, actor: `token:${row.token_id}` };
}

export async function listTokens(sql: Sql, scope: Scope, { limit, cursor }: PageRequest): Promise<Page<ApiToken>> {
  const rows = await sql.query<TokenRow>(
    `SELECT ${COLUMNS} FROM api_tokens
     WHERE ($1::text IS NULL OR customer_id = $1) AND ($2::text IS NULL OR token_id > $2) ORDER BY token_id LIMIT $3`,
    [scope.customerId, cursor ?? null, limit + 1],
  );
  const items = rows.slice(0, limit).map(viewOf);
  return { items, next: rows.length > limit ? (items.at(-1)?.tokenId ?? null) : null };
}

/** Again for a revoked one changes nothing. @throws FleetError `token_unknown` */
export async function revokeToken(sql: Sql, scope: Scope, actor: Actor, tokenId: string): Promise<ApiToken> {
  await actAs(sql, actor);
  const [row] = await sql.query<TokenRow>(
    `UPDATE api_tokens SET revoked_at = now()
     WHERE token_id = $2 AND ($1::text IS NULL OR customer_id = $1) AND revoked_at IS NULL RETURNING ${COLUMNS}`,
    [scope.customerId, tokenId],
  );
  const found = row ?? (await findToken(sql, scope, tokenId));
  if (!found) throw new FleetError('token_unknown', tokenId);
  return viewOf(found);
}

async function findToken(sql: Sql, scope: Scope, tokenId: string): Promise<TokenRow | undefined> {
  const [row] = await sql.query<TokenRow>(
    `SELECT ${COLUMNS} FROM api_tokens WHERE token_id = $2 AND ($1::text IS NULL OR customer_id = $1)`,
    [scope.customerId, tokenId],
  );
  return row;
}

function viewOf(row: TokenRow): ApiToken {
  return {
    tokenId: row.token_id,
    name: row.name,
    customerId: row.customer_id,
    createdAt: instant(row.created_at),
    revokedAt: row.revoked_at && instant(row.revoked_at),
    lastUsedAt: row.last_used_at && instant(row.last_used_at),
  };
}

const instant = (date: Date): string => toInstant(wallMs(date.getTime()));
