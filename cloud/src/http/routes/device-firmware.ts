import Type from 'typebox';
import { ReportedFirmware } from '@paddock/shared/firmware.ts';
import { listFirmwareChanges, readFirmware } from '../../rollouts/device-firmware.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import {
  Count,
  Cursor,
  DEFAULT_LIMIT,
  DeviceId,
  DeviceParams,
  Id,
  Identity,
  Input,
  Instant,
  Limit,
  Nullable,
  pageSchema,
  refusals,
  TimeView,
} from '../schemas.ts';

const tags = ['firmware'];

const Published = Type.Boolean({ description: 'Whether it is a release that was published here' });

const DeviceFirmware = Type.Object({
  deviceId: DeviceId,
  firmware: Nullable(ReportedFirmware),
  published: Nullable(Published),
  receivedAt: Nullable(Instant),
  assignmentId: Nullable(Count),
});

const FirmwareChange = Type.Object({
  changeId: Count,
  running: Nullable(
    Type.Object({ name: Id, version: Type.String(), counter: Count, sha256: Type.String(), published: Published }),
  ),
  slot: Nullable(Type.String()),
  time: TimeView,
  report: Type.Object(Identity, { description: 'The report that shows it; its proof is under /reports' }),
  receivedAt: Instant,
});

const GET = {
  schema: {
    tags,
    operationId: 'getDeviceFirmware',
    summary: 'What a device runs and how its update does, as it signed it',
    params: DeviceParams,
    response: { 200: DeviceFirmware, ...refusals },
  },
} as const;

const LIST = {
  schema: {
    tags,
    operationId: 'listFirmwareChanges',
    summary: 'What a device ran and from when on, newest first, with the report that shows it',
    params: DeviceParams,
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(FirmwareChange), ...refusals },
  },
} as const;

export interface DeviceFirmwareParts {
  readonly store: Store;
  readonly cloudErrorMs: () => number;
}

/** What devices run, and ran. */
export const deviceFirmwareRoutes =
  ({ store, cloudErrorMs }: DeviceFirmwareParts): Routes =>
  async (app) => {
    app.get('/devices/:deviceId/firmware', GET, async (request) =>
      readFirmware(store, principalOf(request).scope, request.params.deviceId),
    );

    app.get('/devices/:deviceId/firmware/history', LIST, async (request) => {
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      const page = { limit, ...(cursor !== undefined && { cursor }) };
      const { scope } = principalOf(request);
      const reading = { sql: store, cloudErrorMs };
      const { items, next } = await listFirmwareChanges(reading, scope, request.params.deviceId, page);
      return { items: [...items], next };
    });
  };
