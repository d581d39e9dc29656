import Type from 'typebox';
import { DesiredFirmware } from '@paddock/shared/desired.ts';
import { BUNDLE_NAME_PATTERN, BundleName, BundleVersion, ReleaseCounter } from '@paddock/shared/manifest.ts';
import { assign, ASSIGNMENT_DEFAULTS, type NewAssignment } from '../../rollouts/assign.ts';
import { RolloutError } from '../../rollouts/errors.ts';
import type { AssignmentOptions, TargetFilter } from '../../rollouts/records.ts';
import { ASSIGNMENT_STATES, DEVICE_STATES, type AssignmentState, type DeviceState } from '../../rollouts/states.ts';
import { steer, STEERING_VERBS } from '../../rollouts/steer.ts';
import type { Targets } from '../../rollouts/targets.ts';
import { listAssignedDevices, listAssignments, readAssignment, type AssignmentView } from '../../rollouts/views.ts';
import type { Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import type { Routes } from '../routes.ts';
import {
  Count,
  Cursor,
  DEFAULT_LIMIT,
  DeviceId,
  Id,
  Input,
  Instant,
  Limit,
  Nullable,
  pageSchema,
  PresenceState,
  refusals,
} from '../schemas.ts';

const tags = ['firmware'];
const AssignmentId = Type.String({ pattern: '^[1-9][0-9]{0,14}$' });
const Params = Type.Object({ assignmentId: AssignmentId });
const State = Type.Unsafe<AssignmentState>(Type.String({ enum: Object.keys(ASSIGNMENT_STATES) }));
const OfDevice = Type.Unsafe<DeviceState>(Type.String({ enum: Object.keys(DEVICE_STATES) }));

const Filter = Input({
  customer: Type.Optional(Id),
  site: Type.Optional(Id),
  model: Type.Optional(Id),
  running: Type.Optional(
    Type.String({ pattern: BUNDLE_NAME_PATTERN, description: 'The name of the bundle that runs' }),
  ),
  presence: Type.Optional(PresenceState),
});

const { window, overrideLock, bytesPerSecond, repository } = DesiredFirmware.properties;
const options = { window, overrideLock, bytesPerSecond, repository } as const;

const HOUR_MS = 3_600_000;
const NewAssignmentBody = Input({
  release: Type.Object(
    { name: BundleName, version: Type.Optional(BundleVersion), counter: Type.Optional(ReleaseCounter) },
    { additionalProperties: false, description: 'By counter or by version; of several of one version the newest' },
  ),
  devices: Type.Optional(Type.Array(DeviceId, { minItems: 1, maxItems: 1000, uniqueItems: true })),
  filter: Type.Optional(Filter),
  standing: Type.Optional(Type.Boolean({ description: 'Takes devices that come to fit the filter later, too' })),
  cap: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, description: 'How many devices may be updating at once' }),
  ),
  haltAfter: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, description: 'With so many failed or stalled it halts' }),
  ),
  stalledAfterMs: Type.Optional(
    Type.Integer({ minimum: 1000, maximum: 30 * 24 * HOUR_MS, description: 'How long nothing may come of it' }),
  ),
  ...options,
});

const Release = Type.Object({ name: Id, version: Type.String(), counter: Count, sha256: Type.String() });

const Assignment = Type.Object({
  assignmentId: Count,
  customerId: Nullable(Id),
  release: Release,
  filter: Type.Unsafe<TargetFilter | null>(Nullable(Type.Object({}, { description: 'As it was asked; null: a list' }))),
  standing: Type.Boolean(),
  options: Type.Unsafe<AssignmentOptions>(Type.Object({}, { description: 'window, overrideLock and so on' })),
  cap: Count,
  haltAfter: Count,
  stalledAfterMs: Count,
  state: State,
  code: Nullable(Type.String({ description: 'Why it halted' })),
  detail: Nullable(Type.String()),
  createdAt: Instant,
  createdBy: Type.String(),
  since: Instant,
  totals: Type.Unsafe<AssignmentView['totals']>(
    Type.Object(
      Object.fromEntries(
        Object.entries(DEVICE_STATES).map(([state, description]) => [state, Type.Integer({ description })]),
      ),
    ),
  ),
});

const AssignedDevice = Type.Object({
  assignmentId: Count,
  deviceId: DeviceId,
  state: OfDevice,
  code: Nullable(Type.String({ description: 'Why it did not come to its end' })),
  detail: Nullable(Type.String()),
  step: Nullable(Type.String({ description: 'Where it is on its way, in its own words' })),
  percent: Nullable(Type.Integer({ description: 'Of the download' })),
  since: Instant,
  toldAt: Instant,
  handedAt: Nullable(Instant),
  supersededBy: Nullable(Count),
});

const CREATE = {
  schema: {
    tags,
    operationId: 'createAssignment',
    summary: 'Assign a release to a list of devices, or to those that fit a filter ({}: all)',
    body: NewAssignmentBody,
    response: { 201: Assignment, ...refusals },
  },
} as const;

const LIST = {
  schema: {
    tags,
    operationId: 'listAssignments',
    summary: 'Assignments, the newest first',
    querystring: Input({
      state: Type.Optional(State),
      name: Type.Optional(BundleName),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(Assignment), ...refusals },
  },
} as const;

const GET = {
  schema: {
    tags,
    operationId: 'getAssignment',
    summary: 'One assignment with its totals',
    params: Params,
    response: { 200: Assignment, ...refusals },
  },
} as const;

const DEVICES = {
  schema: {
    tags,
    operationId: 'listAssignedDevices',
    summary: 'How far each device of an assignment is, by id',
    params: Params,
    querystring: Input({
      state: Type.Optional(OfDevice),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(AssignedDevice), ...refusals },
  },
} as const;

const steering = (verb: (typeof STEERING_VERBS)[number]) => ({
  schema: {
    tags,
    operationId: `${verb}Assignment`,
    summary: VERBS[verb],
    params: Params,
    response: { 200: Assignment, ...refusals },
  },
});

const VERBS = {
  pause: 'Hand nothing out any more, and take the release back from devices that have not begun to change',
  resume: 'Go on, after a pause or a halt; failures until now count no more',
  cancel: 'End it for good, and take the release back from devices that have not begun to change',
} as const satisfies Record<(typeof STEERING_VERBS)[number], string>;

/** Which release which devices shall run. */
export const assignmentRoutes =
  ({ store }: { readonly store: Store }): Routes =>
  async (app) => {
    app.post('/assignments', CREATE, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const input = inputOf(request.body);
      const assignmentId = await store.transaction((sql) => assign(sql, scope, actor, input));
      reply.code(201).header('location', `/api/v1/assignments/${assignmentId}`);
      return readAssignment(store, scope, assignmentId);
    });

    app.get('/assignments', LIST, async (request) => {
      const { limit = DEFAULT_LIMIT, cursor, ...filter } = request.query;
      const page = { limit, ...(cursor !== undefined && { cursor }) };
      const { items, next } = await listAssignments(store, principalOf(request).scope, filter, page);
      return { items: [...items], next };
    });

    app.get('/assignments/:assignmentId', GET, async (request) =>
      readAssignment(store, principalOf(request).scope, Number(request.params.assignmentId)),
    );

    app.get('/assignments/:assignmentId/devices', DEVICES, async (request) => {
      const { limit = DEFAULT_LIMIT, cursor, state } = request.query;
      const wanted = { assignmentId: Number(request.params.assignmentId), state };
      const page = { limit, ...(cursor !== undefined && { cursor }) };
      const { items, next } = await listAssignedDevices(store, principalOf(request).scope, wanted, page);
      return { items: [...items], next };
    });

    for (const verb of STEERING_VERBS)
      app.post(`/assignments/:assignmentId/${verb}`, steering(verb), async (request) => {
        const { scope, actor } = principalOf(request);
        const assignmentId = Number(request.params.assignmentId);
        await store.transaction((sql) => steer(sql, scope, actor, assignmentId, verb));
        return readAssignment(store, scope, assignmentId);
      });
  };

type Body = Type.Static<typeof NewAssignmentBody>;

function inputOf({ release, devices, filter, ...body }: Body): NewAssignment {
  const { standing = false, cap, haltAfter, stalledAfterMs, ...given } = body;
  return {
    release,
    targets: targetsOf({ devices, filter }),
    standing,
    cap: cap ?? ASSIGNMENT_DEFAULTS.cap,
    haltAfter: haltAfter ?? ASSIGNMENT_DEFAULTS.haltAfter,
    stalledAfterMs: stalledAfterMs ?? ASSIGNMENT_DEFAULTS.stalledAfterMs,
    options: given,
  };
}

/** One of the two, and not both. @throws RolloutError `assignment_targets_invalid` */
function targetsOf({ devices, filter }: { devices: string[] | undefined; filter: TargetFilter | undefined }): Targets {
  if (devices !== undefined && filter === undefined) return { devices };
  if (devices === undefined && filter !== undefined) return { filter };
  throw new RolloutError('assignment_targets_invalid');
}
