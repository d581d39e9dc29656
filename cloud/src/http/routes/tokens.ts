import Type from 'typebox';
import { createToken, listTokens, revokeToken } from '../../customers/tokens.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import { Cursor, Id, Input, Instant, Limit, Name, Nullable, pageSchema, refusals } from '../schemas.ts';
import { pageBodyOf, pageRequestOf } from './catalogue.ts';

const tags = ['tokens'];
const TokenId = Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' });

const ApiToken = Type.Object({
  tokenId: TokenId,
  name: Type.String(),
  customerId: Nullable(Id),
  createdAt: Instant,
  revokedAt: Nullable(Instant),
  lastUsedAt: Nullable(Instant),
});

const LIST_TOKENS = {
  schema: {
    tags,
    operationId: 'listTokens',
    summary: 'Tokens, without their secrets',
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(ApiToken), ...refusals },
  },
} as const;

const REVOKE_TOKEN = {
  schema: {
    tags,
    operationId: 'revokeToken',
    summary: 'Revoke a token for good',
    params: Type.Object({ tokenId: TokenId }),
    response: { 200: ApiToken, ...refusals },
  },
} as const;

/** Bearer tokens: made, listed, revoked. */
export const tokenRoutes =
  ({ store }: { store: Store }): Routes =>
  async (app) => {
    app.get('/tokens', LIST_TOKENS, async (request) =>
      pageBodyOf(await listTokens(store, principalOf(request).scope, pageRequestOf(request.query))),
    );

    app.post(
      '/tokens',
      {
        schema: {
          tags,
          operationId: 'createToken',
          summary: 'Make a token: the answer is the only place that ever shows it',
          body: Input({ name: Name, customerId: Type.Optional(Nullable(Id)) }),
          response: { 201: Type.Object({ token: Type.String(), apiToken: ApiToken }), ...refusals },
        },
      },
      async (request, reply) => {
        const { scope, actor } = principalOf(request);
        reply.code(201);
        return store.transaction((sql) => createToken(sql, scope, actor, request.body));
      },
    );

    app.delete('/tokens/:tokenId', REVOKE_TOKEN, async (request) => {
      const { scope, actor } = principalOf(request);
      return store.transaction((sql) => revokeToken(sql, scope, actor, request.params.tokenId));
    });
  };
