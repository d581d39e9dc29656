import Type from 'typebox';
import { followAudit, listAudit, readAudit, readChain } from '../../audit/read.ts';
import { requireReach } from '../../customers/scope.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import { Count, DEFAULT_LIMIT, Input, Instant, Limit, Nullable, pageSchema, refusals } from '../schemas.ts';

const tags = ['audit'];
const Seq = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Word = Type.String({ minLength: 1, maxLength: 200 });
const SeqText = Type.String({ pattern: '^[0-9]{1,15}$' });
const PageLimit = Type.Optional(Limit);

const EntryView = Type.Object({
  seq: Seq,
  at: Instant,
  actor: Type.String({ description: 'token:<id>, device:<id>, factory:<batch>, terminal:<user>, service or unknown' }),
  action: Type.String({ description: 'The operationId of this API, or a word of its own such as authenticate' }),
  result: Type.Unsafe<'done' | 'refused' | 'failed'>(Type.String({ enum: ['done', 'refused', 'failed'] })),
  code: Nullable(Type.String({ description: 'Why it was refused or failed: stable' })),
  deviceId: Nullable(Type.String()),
  customerId: Nullable(Type.String()),
  address: Nullable(Type.String()),
  requestId: Nullable(Type.String({ description: 'The x-request-id of the answer' })),
  detail: Type.Record(Type.String(), Type.Unknown()),
});

const LIST_AUDIT = {
  schema: {
    tags,
    operationId: 'listAudit',
    summary: 'Who did what, newest first; with `after`, what came behind that entry, oldest first',
    querystring: Input({
      actor: Type.Optional(Word),
      action: Type.Optional(Word),
      device: Type.Optional(Word),
      result: Type.Optional(Type.String({ enum: ['done', 'refused', 'failed'] })),
      from: Type.Optional(Instant),
      to: Type.Optional(Instant),
      after: Type.Optional(SeqText),
      cursor: Type.Optional(SeqText),
      limit: PageLimit,
    }),
    response: { 200: pageSchema(EntryView), ...refusals },
  },
} as const;

const Rows = Nullable(Type.Object({}));

const GET_AUDIT = {
  schema: {
    tags,
    operationId: 'getAudit',
    summary: 'One entry, with the edits that its request made: before and after',
    params: Type.Object({ seq: SeqText }),
    response: {
      200: Type.Object({
        entry: EntryView,
        edits: Type.Array(
          Type.Object({
            table: Type.String(),
            id: Type.String(),
            operation: Type.String(),
            before: Rows,
            after: Rows,
          }),
        ),
      }),
      ...refusals,
    },
  },
} as const;

const Link = Type.Object({
  seq: Count,
  entry: Type.String({ description: 'The entry as it was written, as text' }),
  previous: Type.String({ description: 'Hash of the entry before, hex' }),
  hash: Type.String({ description: 'SHA-256 of: previous, seq as 8 bytes big-endian, entry in UTF-8; hex' }),
});

const GET_CHAIN = {
  schema: {
    tags,
    operationId: 'getAuditChain',
    summary: 'The log as it is chained, oldest first; for tokens that reach every customer',
    querystring: Input({ cursor: Type.Optional(SeqText), limit: PageLimit }),
    response: { 200: pageSchema(Link), ...refusals },
  },
} as const;

const text = (seq: number | null): string | null => (seq === null ? null : String(seq));

/** The audit log: read only. No route changes it. */
export const auditRoutes =
  ({ store }: { store: Store }): Routes =>
  async (app) => {
    app.get('/audit', LIST_AUDIT, async (request) => {
      const { scope } = principalOf(request);
      const { limit = DEFAULT_LIMIT, cursor, after, ...filter } = request.query;
      const page =
        after === undefined
          ? await listAudit(store, scope, filter, { limit, before: cursor === undefined ? null : Number(cursor) })
          : await followAudit(store, scope, filter, { limit, after: Number(cursor ?? after) });
      return { items: page.items, next: text(page.next) };
    });

    app.get('/audit/chain', GET_CHAIN, async (request) => {
      requireReach(principalOf(request).scope, null);
      const { limit = DEFAULT_LIMIT, cursor = '0' } = request.query;
      const items = await readChain(store, { after: Number(cursor), limit: limit + 1 });
      const shown = items.slice(0, limit);
      return { items: shown, next: items.length > limit ? text(shown.at(-1)?.seq ?? null) : null };
    });

    app.get('/audit/:seq', GET_AUDIT, async (request) => {
      const found = await readAudit(store, principalOf(request).scope, Number(request.params.seq));
      if (found === null) throw new HttpError('not_found', 'No such entry');
      return found;
    });
  };
