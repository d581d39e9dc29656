import Type from 'typebox';
import { COMPONENT_KINDS, type Component, type ComponentKind } from '@paddock/shared/inventory.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import { CHANGES, listInventoryChanges, type InventoryChange } from '../../inventory/changes.ts';
import { inventoryAt, inventoryProof } from '../../inventory/views.ts';
import type { DeviceViews } from '../../devices/views.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import {
  Count,
  Cursor,
  DEFAULT_LIMIT,
  DeviceId,
  DeviceParams,
  Identity,
  Input,
  Instant,
  Limit,
  Nullable,
  pageSchema,
  Proof,
  refusals,
  TimeView,
} from '../schemas.ts';

const tags = ['inventory'];
const { incarnation, start } = Identity;

const Kind = Type.Unsafe<ComponentKind>(Type.String({ enum: [...COMPONENT_KINDS] }));
const ComponentView = Type.Unsafe<Component>(
  Type.Object(
    {
      kind: Kind,
      name: Type.String(),
      manufacturer: Type.Optional(Type.String()),
      model: Type.Optional(Type.String()),
      serialNumber: Type.Optional(Type.String()),
      version: Type.Optional(Type.String()),
      properties: Type.Optional(Type.Record(Type.String(), Type.String())),
      children: Type.Optional(
        Type.Array(Type.Object({}, { description: 'Components again' }), { description: 'The parts of it' }),
      ),
    },
    { description: 'A component as the device signed it' },
  ),
);

const InventoryId = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

const InventoryView = Type.Object({
  deviceId: DeviceId,
  inventoryId: InventoryId,
  receivedAt: Instant,
  time: TimeView,
  incarnation,
  start,
  digest: Type.String({ description: 'SHA-256 of the JWS signing input, base64url' }),
  content: Type.String({ description: 'SHA-256 of the canonical tree, base64url: what reports name' }),
  unseen: Type.Array(Kind, { description: 'Kinds that could not be looked for: their absence says nothing' }),
  components: Type.Array(ComponentView),
});

const ChangeView = Type.Object({
  changeId: Count,
  change: Type.Unsafe<InventoryChange['change']>(Type.String({ enum: [...CHANGES] })),
  kind: Kind,
  path: Type.Array(Type.String(), { description: 'Kind and name of each component from the outermost to this one' }),
  before: Nullable(ComponentView),
  after: Nullable(ComponentView),
  fromDevice: Nullable(DeviceId),
  time: TimeView,
  inventoryId: InventoryId,
  previousInventoryId: Nullable(InventoryId),
  receivedAt: Instant,
});

const GET_INVENTORY = {
  schema: {
    tags,
    operationId: 'getInventory',
    summary: 'What a device is made of, as it signed it: now, or at a moment',
    params: DeviceParams,
    querystring: Input({ asOf: Type.Optional(Instant) }),
    response: { 200: InventoryView, ...refusals },
  },
} as const;

const LIST_CHANGES = {
  schema: {
    tags,
    operationId: 'listInventoryChanges',
    summary: 'Components that were added, removed, changed, or moved from another device, newest first',
    params: DeviceParams,
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(ChangeView), ...refusals },
  },
} as const;

const GET_PROOF = {
  schema: {
    tags,
    operationId: 'getInventoryProof',
    summary: 'The signed envelope of an inventory, with all it takes to verify it offline',
    params: Type.Object({ deviceId: DeviceId, inventoryId: InventoryId }),
    response: { 200: Proof, ...refusals },
  },
} as const;

export interface InventoryParts {
  readonly store: Store;
  readonly inflater: Inflate;
  readonly views: DeviceViews;
  readonly cloudErrorMs: () => number;
}

/** What devices are made of, what changed of it, and the proof. */
export const inventoryRoutes =
  ({ store, inflater, views, cloudErrorMs }: InventoryParts): Routes =>
  async (app) => {
    const reading = { sql: store, inflater, cloudErrorMs };

    app.get('/devices/:deviceId/inventory', GET_INVENTORY, async (request) => {
      const { deviceId } = request.params;
      const view = await inventoryAt(reading, principalOf(request).scope, deviceId, request.query.asOf);
      if (view === null) throw new HttpError('not_found', 'No such device, or no inventory of it by then');
      return { ...view, unseen: [...view.unseen], components: [...view.components] };
    });

    app.get('/devices/:deviceId/inventory/changes', LIST_CHANGES, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      if (!(await views.has(scope, deviceId))) throw new HttpError('not_found', 'No such device');
      const { items, next } = await listInventoryChanges(reading, scope, deviceId, { limit, cursor });
      return { items: items.map((item) => ({ ...item, path: [...item.path] })), next };
    });

    app.get('/devices/:deviceId/inventory/:inventoryId/proof', GET_PROOF, async (request) => {
      const { deviceId, inventoryId } = request.params;
      const proof = await inventoryProof(store, principalOf(request).scope, deviceId, inventoryId);
      if (proof === null) throw new HttpError('not_found', 'No such inventory');
      return { ...proof, keys: [...proof.keys] };
    });
  };
