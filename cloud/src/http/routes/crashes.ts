import Type from 'typebox';
import { CrashId } from '@paddock/shared/began.ts';
import type { Inflate } from '@paddock/shared/envelope.ts';
import { crashProof, listCrashes, oneCrash } from '../../crashes/views.ts';
import type { DeviceViews } from '../../devices/views.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import {
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

const tags = ['crashes'];
const { incarnation, start } = Identity;

const summary = {
  crashId: CrashId,
  receivedAt: Instant,
  /** The last sign of life before it. */
  time: TimeView,
  incarnation,
  start,
  reason: Type.String({ description: 'Why the start before ended' }),
  machine: Nullable(Type.String({ description: 'Why the machine was booted; null when it was not' })),
  detail: Nullable(Type.String()),
  agentVersion: Nullable(Type.String()),
  digest: Type.String({ description: 'SHA-256 of the JWS signing input, base64url' }),
};

const CrashView = Type.Object(summary);
const WholeCrash = Type.Object({
  ...summary,
  content: Type.Object({}, { additionalProperties: true, description: 'The crash report as the device signed it' }),
});

const CrashParams = Type.Object({ deviceId: DeviceId, crashId: CrashId });

const LIST_CRASHES = {
  schema: {
    tags,
    operationId: 'listCrashes',
    summary: 'Ends of the agent or its machine that were not in good order, newest first',
    params: DeviceParams,
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(CrashView), ...refusals },
  },
} as const;

const GET_CRASH = {
  schema: {
    tags,
    operationId: 'getCrash',
    summary: 'One of them, with the error, the breadcrumbs before it, and what the kernel said',
    params: CrashParams,
    response: { 200: WholeCrash, ...refusals },
  },
} as const;

const GET_PROOF = {
  schema: {
    tags,
    operationId: 'getCrashProof',
    summary: 'The signed envelope of a crash report, with all it takes to verify it offline',
    params: CrashParams,
    response: { 200: Proof, ...refusals },
  },
} as const;

export interface CrashParts {
  readonly store: Store;
  readonly inflater: Inflate;
  readonly views: DeviceViews;
  readonly cloudErrorMs: () => number;
}

/** What devices tell of their crashes, and the proof. */
export const crashRoutes =
  ({ store, inflater, views, cloudErrorMs }: CrashParts): Routes =>
  async (app) => {
    const reading = { sql: store, inflater, cloudErrorMs };

    app.get('/devices/:deviceId/crashes', LIST_CRASHES, async (request) => {
      const { scope } = principalOf(request);
      const { deviceId } = request.params;
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      if (!(await views.has(scope, deviceId))) throw new HttpError('not_found', 'No such device');
      const { items, next } = await listCrashes(reading, scope, deviceId, { limit, cursor });
      return { items: [...items], next };
    });

    app.get('/devices/:deviceId/crashes/:crashId', GET_CRASH, async (request) => {
      const { deviceId, crashId } = request.params;
      const crash = await oneCrash(reading, principalOf(request).scope, deviceId, crashId);
      if (crash === null) throw new HttpError('not_found', 'No such crash report');
      return crash;
    });

    app.get('/devices/:deviceId/crashes/:crashId/proof', GET_PROOF, async (request) => {
      const { deviceId, crashId } = request.params;
      const proof = await crashProof(store, principalOf(request).scope, deviceId, crashId);
      if (proof === null) throw new HttpError('not_found', 'No such crash report');
      return { ...proof, keys: [...proof.keys] };
    });
  };
