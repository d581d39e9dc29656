import Type from 'typebox';
import type { Scope } from '../../customers/scope.ts';
import { listClocks } from '../../devices/clock-list.ts';
import { listStarts } from '../../devices/delivery.ts';
import { listChanges } from '../../devices/sensor-changes.ts';
import type { DeviceViews } from '../../devices/views.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import {
  Began,
  Count,
  Cursor,
  DEFAULT_LIMIT,
  Delivery,
  DeviceParams,
  Identity,
  Input,
  Instant,
  Limit,
  Nullable,
  pageSchema,
  Rate,
  refusals,
  SensorName,
  TimeView,
} from '../schemas.ts';

const tags = ['reports'];
const { incarnation, start } = Identity;
const Page = Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) });

const Change = Type.Object({
  sensor: Type.String(),
  value: Type.Union([Type.Null(), Type.Boolean(), Type.Number(), Type.String()]),
  incarnation,
  start,
  changes: Type.Integer({ minimum: 1, description: "The sensor's count of changes since the start" }),
  unseen: Type.Integer({ minimum: 0, description: 'Changes of the sensor right before it that no report told of' }),
  bootId: Type.String(),
  uptimeMs: Count,
  time: TimeView,
});

const Start = Type.Object({
  incarnation,
  ordinal: Type.Integer({ minimum: 1, description: 'Place of the incarnation among those of the device' }),
  start,
  bootId: Type.String(),
  firstReceivedAt: Instant,
  lastReceivedAt: Instant,
  began: Nullable(Began),
  ...Delivery,
});

const ListedClock = Type.Object({
  bootId: Type.String(),
  segment: Type.Integer({ description: '0 is before the first suspend of the boot' }),
  reason: Nullable(Type.String({ description: 'Why the machine booted' })),
  start,
  firstReceivedAt: Instant,
  lastReceivedAt: Instant,
  began: Nullable(TimeView),
  lastUptimeMs: Type.Number(),
  last: TimeView,
  exchanged: Type.Boolean({ description: 'Whether an exchange bounds it from below' }),
  ...Rate,
});

const LIST_CHANGES = {
  schema: {
    tags,
    operationId: 'listChanges',
    summary: 'When binary and enum readings changed, newest first',
    description:
      'Each change stands here once, however many reports told of it, and whether or not the report that was made for ' +
      'it arrived. Order and period are by the latest moment as it was known on arrival; `time` is what is known now.',
    params: DeviceParams,
    querystring: Input({
      sensor: Type.Optional(SensorName),
      from: Type.Optional(Instant),
      to: Type.Optional(Instant),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(Change), ...refusals },
  },
} as const;

const LIST_STARTS = {
  schema: {
    tags,
    operationId: 'listStarts',
    summary: 'Starts of the agent, newest first: why each began, and what became of its reports',
    params: DeviceParams,
    querystring: Page,
    response: { 200: pageSchema(Start), ...refusals },
  },
} as const;

const LIST_CLOCKS = {
  schema: {
    tags,
    operationId: 'listClocks',
    summary: 'Boots, and what lies between suspends of one, newest first, with what is known of their clocks',
    params: DeviceParams,
    querystring: Page,
    response: { 200: pageSchema(ListedClock), ...refusals },
  },
} as const;

export interface LifeParts {
  readonly store: Store;
  readonly views: DeviceViews;
  readonly cloudErrorMs: () => number;
}

/** What is known of the lives of a device: its starts, its clocks, and the changes of its readings. */
export const lifeRoutes =
  ({ store, views, cloudErrorMs }: LifeParts): Routes =>
  async (app) => {
    const deps = { sql: store, cloudErrorMs };
    const requireDevice = async (scope: Scope, deviceId: string): Promise<void> => {
      if (!(await views.has(scope, deviceId))) throw new HttpError('not_found', 'No such device');
    };

    app.get('/devices/:deviceId/changes', LIST_CHANGES, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor, ...filter } = request.query;
      await requireDevice(scope, deviceId);
      const { items, next } = await listChanges(deps, scope, deviceId, filter, { limit, cursor });
      return { items: [...items], next };
    });

    app.get('/devices/:deviceId/starts', LIST_STARTS, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      await requireDevice(scope, deviceId);
      const { items, next } = await listStarts(deps, scope, deviceId, { limit, cursor });
      return { items: [...items], next };
    });

    app.get('/devices/:deviceId/clocks', LIST_CLOCKS, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      await requireDevice(scope, deviceId);
      const { items, next } = await listClocks(deps, scope, deviceId, { limit, cursor });
      return { items: [...items], next };
    });
  };
