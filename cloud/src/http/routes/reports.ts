import Type from 'typebox';
import type { Archive } from '../../devices/archive.ts';
import type { DeviceViews } from '../../devices/views.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import { HttpError } from '../problem.ts';
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
  pageSchema,
  Proof,
  refusals,
  TimeView,
} from '../schemas.ts';

const tags = ['reports'];

const ReportView = Type.Object({
  receivedAt: Instant,
  ...Identity,
  trigger: Type.String(),
  bootId: Type.String(),
  uptimeMs: Count,
  digest: Type.String({ description: 'SHA-256 of the JWS signing input, base64url' }),
  time: TimeView,
  payload: Type.Record(Type.String(), Type.Unknown(), { description: 'The report as it was signed' }),
});

const StateView = Type.Object({
  deviceId: DeviceId,
  ...Identity,
  receivedAt: Instant,
  heardAt: Instant,
  digest: Type.String(),
  time: TimeView,
  report: Type.Record(Type.String(), Type.Unknown()),
});

const Rejection = Type.Object({
  id: Count,
  receivedAt: Instant,
  code: Type.String(),
  detail: Type.String(),
  topic: Type.String(),
  envelope: Type.String(),
});

const GET_STATE = {
  schema: {
    tags,
    operationId: 'getState',
    summary: 'The last known state: the newest report, whole',
    params: DeviceParams,
    response: { 200: StateView, ...refusals },
  },
} as const;

const LIST_REPORTS = {
  schema: {
    tags,
    operationId: 'listReports',
    summary: 'Reports by arrival, newest first',
    params: DeviceParams,
    querystring: Input({
      from: Type.Optional(Instant),
      to: Type.Optional(Instant),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(ReportView), ...refusals },
  },
} as const;

const GET_PROOF = {
  schema: {
    tags,
    operationId: 'getProof',
    summary: 'The signed envelope of a report, with all it takes to verify it offline',
    params: Type.Object({ deviceId: DeviceId, ...Identity }),
    response: { 200: Proof, ...refusals },
  },
} as const;

const LIST_REJECTIONS = {
  schema: {
    tags,
    operationId: 'listRejections',
    summary: 'Refused messages under the topic of a device, newest first',
    params: DeviceParams,
    querystring: Input({ limit: Type.Optional(Limit) }),
    response: { 200: Type.Object({ items: Type.Array(Rejection) }), ...refusals },
  },
} as const;

/** What devices reported: by time, the last state, and the proof of each. */
export const reportRoutes =
  ({ archive, views }: { archive: Archive; views: DeviceViews }): Routes =>
  async (app) => {
    app.get('/devices/:deviceId/state', GET_STATE, async (request) => {
      const state = await archive.state(principalOf(request).scope, request.params.deviceId);
      if (state === null) throw new HttpError('not_found', 'No such device, or it has never reported');
      return state;
    });

    app.get('/devices/:deviceId/reports', LIST_REPORTS, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor, from, to } = request.query;
      if (!(await views.has(scope, deviceId))) throw new HttpError('not_found', 'No such device');
      const page = await archive.reports(scope, deviceId, { from, to }, limit, cursor);
      return { items: [...page.items], next: page.next };
    });

    app.get('/devices/:deviceId/reports/:incarnation/:start/:sequence/proof', GET_PROOF, async (request) => {
      const { deviceId, ...identity } = request.params;
      const proof = await archive.proof(principalOf(request).scope, deviceId, identity);
      if (proof === null) throw new HttpError('not_found', 'No such report');
      return { ...proof, keys: [...proof.keys] };
    });

    app.get('/devices/:deviceId/rejections', LIST_REJECTIONS, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      if (!(await views.has(scope, deviceId))) throw new HttpError('not_found', 'No such device');
      return { items: await archive.rejections(scope, deviceId, request.query.limit ?? DEFAULT_LIMIT) };
    });
  };
