import Type from 'typebox';
import { Began, Trouble } from '@paddock/shared/began.ts';
import { editDevice, registerDevice, retireDevice } from '../../devices/registry.ts';
import type { DeviceViews, VersionedView } from '../../devices/views.ts';
import type { Scope } from '../../customers/scope.ts';
import type { Store } from '../../ports.ts';
import type { KeySet } from '@paddock/shared/keys.ts';
import { principalOf } from '../auth.ts';
import { editedVersion, etagOf } from '../etag.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import {
  Clock,
  Convergence,
  Count,
  Cursor,
  DEFAULT_LIMIT,
  Delivery,
  DeviceId,
  DeviceParams,
  Id,
  Identity,
  IfMatch,
  Input,
  Instant,
  Jwks,
  Limit,
  Name,
  Nullable,
  PresenceState,
  PublicJwk,
  refusals,
  TimeView,
} from '../schemas.ts';

const tags = ['devices'];

const LastReport = Type.Object({
  receivedAt: Instant,
  ...Identity,
  trigger: Type.Object({ kind: Type.String() }, { description: 'What made the device report' }),
  uptimeMs: Count,
  bootId: Type.String(),
  time: TimeView,
});

const OutputValue = Type.Union([Type.Boolean(), Type.Number(), Type.String()]);

export const DeviceView = Type.Object({
  deviceId: DeviceId,
  name: Type.String(),
  customerId: Id,
  siteId: Nullable(Id),
  modelId: Nullable(Id),
  serialNumber: Nullable(Type.String()),
  registeredAt: Instant,
  retiredAt: Nullable(Instant),
  presence: PresenceState,
  presenceSince: Instant,
  lastReport: Nullable(LastReport),
  readings: Type.Record(
    Type.String(),
    Type.Object({
      value: Type.Union([Type.Null(), Type.Boolean(), Type.Number(), Type.String()]),
      unit: Type.Optional(Type.String()),
      ageMs: Nullable(Count),
      quality: Type.Optional(Type.String({ enum: ['good', 'suspect', 'bad'] })),
      reason: Type.Optional(Type.String()),
      changes: Type.Optional(Count),
      changedAgoMs: Type.Optional(Nullable(Count)),
      heldForMs: Type.Optional(Count),
      gaps: Type.Optional(Count),
    }),
  ),
  host: Nullable(Type.Object({}, { description: 'Health of the machine, as the report gave it' })),
  outputs: Type.Record(
    Type.String(),
    Type.Object({
      state: Type.String({ description: 'own, applied, pending, away or failed' }),
      desired: Type.Optional(OutputValue),
      actual: Nullable(OutputValue),
      error: Type.Optional(Type.Object({ code: Type.String(), detail: Type.Optional(Type.String()) })),
    }),
    { description: 'What the device drives, as its newest report says' },
  ),
  troubles: Type.Array(Trouble, { description: 'What is wrong with the machine, as the newest report says' }),
  began: Nullable(Began),
  clock: Nullable(Clock),
  delivery: Nullable(
    Type.Object(
      { ...Delivery, waiting: Nullable(Count) },
      { description: 'Reports of the newest start; `waiting` is what the newest one says of the outbox' },
    ),
  ),
  desired: Nullable(Convergence),
});

const attributes = {
  customerId: Type.Optional(Id),
  siteId: Type.Optional(Nullable(Id)),
  modelId: Type.Optional(Nullable(Id)),
  serialNumber: Type.Optional(Nullable(Name)),
  name: Type.Optional(Name),
} as const;

const Filter = Input({
  customer: Type.Optional(Id),
  site: Type.Optional(Id),
  model: Type.Optional(Id),
  presence: Type.Optional(PresenceState),
  q: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: 'Part of id, name or serial number' })),
  limit: Type.Optional(Limit),
  cursor: Type.Optional(Cursor),
});

const LIST_DEVICES = {
  schema: {
    tags,
    operationId: 'listDevices',
    summary: 'Devices with their last known state, by id',
    querystring: Filter,
    response: {
      200: Type.Object({ items: Type.Array(DeviceView), next: Nullable(Type.String()), estimatedTotal: Count }),
      ...refusals,
    },
  },
} as const;

const REGISTER_DEVICE = {
  schema: {
    tags,
    operationId: 'registerDevice',
    summary: 'Give a device its id and its key; the answer holds what the device pins',
    body: Input({ deviceId: DeviceId, publicKey: PublicJwk, ...attributes }),
    response: { 201: Type.Object({ device: DeviceView, cloudKeys: Jwks }), ...refusals },
  },
} as const;

const GET_DEVICE = {
  schema: {
    tags,
    operationId: 'getDevice',
    summary: 'One device; its ETag is the version of its attributes',
    params: DeviceParams,
    response: { 200: DeviceView, ...refusals },
  },
} as const;

const EDIT_DEVICE = {
  schema: {
    tags,
    operationId: 'editDevice',
    summary: 'Edit the attributes of a device',
    params: DeviceParams,
    headers: IfMatch,
    body: Input(attributes),
    response: { 200: DeviceView, ...refusals },
  },
} as const;

const RETIRE_DEVICE = {
  schema: {
    tags,
    operationId: 'retireDevice',
    summary: 'Retire a device for good: its reports are refused, its id is never used again',
    params: DeviceParams,
    headers: IfMatch,
    response: { 200: DeviceView, ...refusals },
  },
} as const;

export interface DeviceParts {
  readonly store: Store;
  readonly views: DeviceViews;
  readonly cloudKeys: () => KeySet;
}

/** Devices: registered, listed, edited, retired. */
export const deviceRoutes =
  ({ store, views, cloudKeys }: DeviceParts): Routes =>
  async (app) => {
    app.get('/devices', LIST_DEVICES, async (request) => {
      const { limit = DEFAULT_LIMIT, cursor, ...filter } = request.query;
      const page = await views.list(principalOf(request).scope, filter, limit, cursor);
      return { ...page, items: [...page.items] };
    });

    app.post('/devices', REGISTER_DEVICE, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const { deviceId } = await store.transaction((sql) => registerDevice(sql, scope, actor, request.body));
      const { view, version } = await known(views, scope, deviceId);
      reply.code(201).header('etag', etagOf(version)).header('location', `/api/v1/devices/${deviceId}`);
      return { device: view, cloudKeys: { keys: [...cloudKeys().keys] } };
    });

    app.get('/devices/:deviceId', GET_DEVICE, async (request, reply) => {
      const { view, version } = await known(views, principalOf(request).scope, request.params.deviceId);
      reply.header('etag', etagOf(version));
      return view;
    });

    app.patch('/devices/:deviceId', EDIT_DEVICE, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const { deviceId } = request.params;
      const edit = { ...request.body, deviceId, expectedVersion: editedVersion(request.headers['if-match']) };
      await store.transaction((sql) => editDevice(sql, scope, actor, edit));
      const { view, version } = await known(views, scope, deviceId);
      reply.header('etag', etagOf(version));
      return view;
    });

    app.post('/devices/:deviceId/retire', RETIRE_DEVICE, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const { deviceId } = request.params;
      const ifMatch = request.headers['if-match'];
      const expectedVersion = ifMatch === undefined ? null : editedVersion(ifMatch);
      await store.transaction((sql) => retireDevice(sql, scope, actor, { deviceId, expectedVersion }));
      const { view, version } = await known(views, scope, deviceId);
      reply.header('etag', etagOf(version));
      return view;
    });
  };

async function known(views: DeviceViews, scope: Scope, deviceId: string): Promise<VersionedView> {
  const versioned = await views.one(scope, deviceId);
  if (versioned === null) throw new HttpError('not_found', 'No such device');
  return versioned;
}
