import Type from 'typebox';
import type { Claim } from '@paddock/shared/enrolment.ts';
import { toInstant } from '@paddock/shared/time.ts';
import { addBatch, listBatches, revokeBatch, type Batch } from '../../enrolment/factory-keys.ts';
import type { Clock, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import { Count, Cursor, Id, Input, Instant, Limit, Nullable, pageSchema, PublicJwk, refusals } from '../schemas.ts';
import { pageBodyOf, pageRequestOf } from './catalogue.ts';

/** Where devices enrol, the fingerprint of the authority, and the fleet root. */
export type ClaimTerms = () => Promise<Pick<Claim, 'url' | 'ca' | 'root'>>;

const tags = ['enrolment'];

const FactoryKey = Type.Object({
  batchId: Id,
  customerId: Id,
  modelId: Nullable(Id),
  fingerprint: Type.String({ description: 'RFC 7638 thumbprint of the key' }),
  maxDevices: Count,
  used: Type.Integer({ minimum: 0, description: 'Devices that its claims have let in' }),
  notBefore: Instant,
  notAfter: Instant,
  createdAt: Instant,
  revokedAt: Nullable(Instant),
});

const ADD_KEY = {
  schema: {
    tags,
    operationId: 'addFactoryKey',
    summary: 'Let a factory seal claims, within bounds; the answer holds what its claims say of this cloud',
    body: Input({
      batchId: Id,
      publicKey: PublicJwk,
      customerId: Type.Optional(Id),
      modelId: Type.Optional(Nullable(Id)),
      maxDevices: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
      notBefore: Type.Optional(Instant),
      notAfter: Instant,
    }),
    response: {
      201: Type.Object({
        factoryKey: FactoryKey,
        claims: Type.Object({ url: Type.String(), ca: Type.String(), root: PublicJwk }),
      }),
      ...refusals,
    },
  },
} as const;

const LIST_KEYS = {
  schema: {
    tags,
    operationId: 'listFactoryKeys',
    summary: 'Keys of factories, by batch',
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(FactoryKey), ...refusals },
  },
} as const;

const REVOKE_KEY = {
  schema: {
    tags,
    operationId: 'revokeFactoryKey',
    summary: 'Let nobody in any more by claims of this batch; whom it let in stays in',
    params: Type.Object({ batchId: Id }),
    response: { 200: FactoryKey, ...refusals },
  },
} as const;

/** Keys that factories seal claims with. */
export const factoryKeyRoutes =
  ({ store, clock, claimTerms }: { store: Store; clock: Clock; claimTerms: ClaimTerms }): Routes =>
  async (app) => {
    app.post('/factory-keys', ADD_KEY, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const batch = await store.transaction((sql) => addBatch(sql, scope, actor, request.body, clock.wall()));
      reply.code(201);
      const { url, ca, root } = await claimTerms();
      return { factoryKey: viewOf(batch), claims: { url, ca, root } };
    });

    app.get('/factory-keys', LIST_KEYS, async (request) => {
      const page = await listBatches(store, principalOf(request).scope, pageRequestOf(request.query));
      return pageBodyOf({ ...page, items: page.items.map(viewOf) });
    });

    app.delete('/factory-keys/:batchId', REVOKE_KEY, async (request) => {
      const { scope, actor } = principalOf(request);
      return viewOf(await store.transaction((sql) => revokeBatch(sql, scope, actor, request.params.batchId)));
    });
  };

const viewOf = ({ batchId, customerId, modelId, thumbprint, maxDevices, used, ...times }: Batch) => ({
  batchId,
  customerId,
  modelId,
  fingerprint: thumbprint,
  maxDevices,
  used,
  notBefore: toInstant(times.notBefore),
  notAfter: toInstant(times.notAfter),
  createdAt: toInstant(times.createdAt),
  revokedAt: times.revokedAt === null ? null : toInstant(times.revokedAt),
});
