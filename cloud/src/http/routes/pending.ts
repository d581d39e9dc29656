import Type from 'typebox';
import { approve, dismiss, reject } from '../../enrolment/approval.ts';
import { listPending, readPending } from '../../enrolment/pending.ts';
import { WAIT_REASONS, type WaitReason } from '../../enrolment/decide.ts';
import type { Clock, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { editedTag } from '../etag.ts';
import type { Routes } from '../routes.ts';
import {
  Count,
  Cursor,
  DeviceId,
  Id,
  IfMatch,
  Input,
  Instant,
  Limit,
  Name,
  Nullable,
  pageSchema,
  refusals,
} from '../schemas.ts';
import { pageBodyOf, pageRequestOf } from './catalogue.ts';

const tags = ['enrolment'];
export const Fingerprint = Type.String({
  pattern: '^[A-Za-z0-9_-]{43}$',
  description: "RFC 7638 thumbprint of the device's key (SHA-256, base64url)",
});

const PendingDevice = Type.Object({
  fingerprint: Fingerprint,
  address: Type.String(),
  serialNumber: Nullable(Type.String()),
  model: Nullable(Type.String()),
  facts: Type.Record(Type.String(), Type.String()),
  reason: Type.Unsafe<WaitReason>(Type.String({ enum: Object.keys(WAIT_REASONS) })),
  deviceId: Nullable(DeviceId),
  status: Type.Unsafe<'pending' | 'rejected'>(Type.String({ enum: ['pending', 'rejected'] })),
  firstAskedAt: Instant,
  lastAskedAt: Instant,
  asked: Count,
  etag: Type.String({ description: 'Of all that an approval is decided by: it sends this as If-Match' }),
});

const params = Type.Object({ fingerprint: Fingerprint });

const LIST_PENDING = {
  schema: {
    tags,
    operationId: 'listPendingDevices',
    summary: 'Devices that ask to be let in; what they say of themselves is not proved',
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(PendingDevice), ...refusals },
  },
} as const;

const SHOW = {
  schema: {
    tags,
    operationId: 'getPendingDevice',
    summary: 'One device that asks to be let in; its ETag is what an approval sends as If-Match',
    params,
    response: { 200: PendingDevice, ...refusals },
  },
} as const;

const APPROVE = {
  schema: {
    tags,
    operationId: 'approvePendingDevice',
    summary:
      'Let a device in, as it was looked at: as the device that is named, whose old key is revoked, or as a new one',
    description:
      'If-Match is the `etag` that was read: what a device says of itself may change with each time that it asks ' +
      '(`pending_changed`). When its serial number is registered, `deviceId` has to say which device it is, or null: a ' +
      'new one (`device_ambiguous`).',
    params,
    headers: IfMatch,
    body: Input({
      deviceId: Type.Optional(Nullable(DeviceId)),
      customerId: Type.Optional(Id),
      siteId: Type.Optional(Nullable(Id)),
      modelId: Type.Optional(Nullable(Id)),
      name: Type.Optional(Name),
    }),
    response: {
      200: Type.Object({
        deviceId: DeviceId,
        name: Type.String(),
        customerId: Id,
        siteId: Nullable(Id),
        modelId: Nullable(Id),
        serialNumber: Nullable(Type.String()),
        registeredAt: Instant,
      }),
      ...refusals,
    },
  },
} as const;

const REJECT = {
  schema: {
    tags,
    operationId: 'rejectPendingDevice',
    summary: 'Do not let a device in: it is told so when it asks the next time',
    params,
    response: { 200: PendingDevice, ...refusals },
  },
} as const;

const DISMISS = {
  schema: {
    tags,
    operationId: 'dismissPendingDevice',
    summary: 'Forget a device that asks, and that it was rejected: it may ask anew',
    params,
    response: { 200: PendingDevice, ...refusals },
  },
} as const;

/** Devices that wait for a human. */
export const pendingRoutes =
  ({ store, clock }: { store: Store; clock: Clock }): Routes =>
  async (app) => {
    app.get('/pending', LIST_PENDING, async (request) => {
      const page = await listPending(store, principalOf(request).scope, pageRequestOf(request.query), clock.wall());
      return pageBodyOf(page);
    });

    app.get('/pending/:fingerprint', SHOW, async (request, reply) => {
      const { scope } = principalOf(request);
      const pending = await readPending(store, scope, request.params.fingerprint, clock.wall());
      reply.header('etag', pending.etag);
      return pending;
    });

    app.post('/pending/:fingerprint/approve', APPROVE, async (request) => {
      const { scope, actor } = principalOf(request);
      const seen = editedTag(request.headers['if-match']);
      const approval = { ...request.body, fingerprint: request.params.fingerprint, seen };
      const device = await store.transaction((sql) => approve(sql, scope, actor, approval, clock.wall()));
      const { deviceId, name, customerId, siteId, modelId, serialNumber, registeredAt } = device;
      return { deviceId, name, customerId, siteId, modelId, serialNumber, registeredAt };
    });

    app.post('/pending/:fingerprint/reject', REJECT, async (request) => {
      const { scope } = principalOf(request);
      return store.transaction((sql) => reject(sql, scope, request.params.fingerprint, clock.wall()));
    });

    app.delete('/pending/:fingerprint', DISMISS, async (request) => {
      const { scope } = principalOf(request);
      return store.transaction((sql) => dismiss(sql, scope, request.params.fingerprint, clock.wall()));
    });
  };
