import Type from 'typebox';
import { DESIRED_KEY_PATTERN } from '@paddock/shared/desired.ts';
import { NAME_PATTERN } from '@paddock/shared/names.ts';
import { readDevice } from '../../devices/registry.ts';
import { patchDesired, replaceDesired, setDesiredOutput, type DesiredChange } from '../../desired/change.ts';
import { listDesiredEdits, readDesired, type DesiredView } from '../../desired/views.ts';
import type { Scope } from '../../customers/scope.ts';
import type { Sql, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { editedVersion, etagOf } from '../etag.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import {
  convergence,
  Count,
  Cursor,
  DEFAULT_LIMIT,
  DeviceId,
  DeviceParams,
  IfMatch,
  Input,
  Instant,
  Limit,
  Nullable,
  pageSchema,
  refusals,
} from '../schemas.ts';

const tags = ['desired'];
const Key = Type.String({ pattern: DESIRED_KEY_PATTERN });
const KeyParams = Type.Object({ deviceId: DeviceId, key: Key });
const OutputParams = Type.Object({ deviceId: DeviceId, output: Type.String({ pattern: NAME_PATTERN }) });
const State = Type.Record(Type.String(), Type.Unknown(), {
  description: 'By key. Known are `firmware`, `agent` and `outputs` (docs/protocol.md, section 14)',
});

const View = Type.Object({
  deviceId: DeviceId,
  ...convergence,
  state: State,
  changedAt: Nullable(Instant),
  changedBy: Nullable(Type.String()),
  reportedAt: Nullable(Instant),
});

const Edit = Type.Object({
  version: Count,
  changedAt: Instant,
  changedBy: Type.String(),
  requestId: Nullable(Type.String({ description: 'The request that it came with, as the audit log names it' })),
  changes: Type.Array(Type.Object({ key: Type.String(), before: Type.Unknown(), after: Type.Unknown() })),
});

const edited = { headers: IfMatch, response: { 200: View, ...refusals } } as const;
const description =
  'With If-Match, the ETag that was read, nothing that somebody else changed meanwhile is overwritten';

const GET_STATE = {
  schema: {
    tags,
    operationId: 'getDesired',
    summary: 'What shall last on a device, and what it reports of it; its ETag is the version',
    params: DeviceParams,
    response: { 200: View, ...refusals },
  },
} as const;

const PUT_STATE = {
  schema: {
    tags,
    operationId: 'replaceDesired',
    summary: 'Set the whole of what shall last on a device: keys that are not there are taken away',
    description,
    params: DeviceParams,
    body: Input({ state: State }),
    ...edited,
  },
} as const;

const PATCH_STATE = {
  schema: {
    tags,
    operationId: 'editDesired',
    summary: 'Set keys of what shall last on a device, or take them away (null); the others stay',
    description,
    params: DeviceParams,
    body: Input({ state: State }),
    ...edited,
  },
} as const;

const GET_KEY = {
  schema: {
    tags,
    operationId: 'getDesiredKey',
    summary: 'One key of what shall last on a device',
    params: KeyParams,
    response: { 200: Type.Object({ deviceId: DeviceId, version: Count, value: Type.Unknown() }), ...refusals },
  },
} as const;

const PUT_KEY = {
  schema: {
    tags,
    operationId: 'setDesiredKey',
    summary: 'Set one key of what shall last on a device',
    params: KeyParams,
    body: Input({ value: Type.Unknown() }),
    ...edited,
  },
} as const;

const DELETE_KEY = {
  schema: {
    tags,
    operationId: 'unsetDesiredKey',
    summary: 'Take one key away: the settings of the device itself hold again',
    params: KeyParams,
    ...edited,
  },
} as const;

const PUT_OUTPUT = {
  schema: {
    tags,
    operationId: 'setDesiredOutput',
    summary: 'Set what one output of a device shall be; its other outputs stay as they are desired',
    description: 'A value, or `{"value": .., "leaseSeconds": ..}`. What the output takes is in the file of the device',
    params: OutputParams,
    body: Input({ value: Type.Unknown() }),
    ...edited,
  },
} as const;

const DELETE_OUTPUT = {
  schema: {
    tags,
    operationId: 'unsetDesiredOutput',
    summary: 'Leave one output of a device to the device: it goes to its safe level, where it has one',
    params: OutputParams,
    ...edited,
  },
} as const;

const LIST_EDITS = {
  schema: {
    tags,
    operationId: 'listDesiredVersions',
    summary: 'Every version of what shall last on a device: who set what, newest first',
    params: DeviceParams,
    querystring: Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) }),
    response: { 200: pageSchema(Edit), ...refusals },
  },
} as const;

/** What shall last on devices. */
export const desiredRoutes =
  ({ store }: { readonly store: Store }): Routes =>
  async (app) => {
    await app.register(readingRoutes(store));
    await app.register(editingRoutes(store));
    await app.register(outputRoutes(store));
  };

const readingRoutes =
  (store: Store): Routes =>
  async (app) => {
    app.get('/devices/:deviceId/desired', GET_STATE, async (request, reply) => {
      const view = await readDesired(store, principalOf(request).scope, request.params.deviceId);
      return shown(reply, view);
    });

    app.get('/devices/:deviceId/desired/keys/:key', GET_KEY, async (request, reply) => {
      const { deviceId, key } = request.params;
      const { state, version } = await readDesired(store, principalOf(request).scope, deviceId);
      if (!Object.hasOwn(state, key)) throw new HttpError('not_found', 'The key is not set');
      reply.header('etag', etagOf(version));
      return { deviceId, version, value: state[key] };
    });

    app.get('/devices/:deviceId/desired/history', LIST_EDITS, async (request) => {
      const { limit = DEFAULT_LIMIT, cursor } = request.query;
      const { scope } = principalOf(request);
      const page = await listDesiredEdits(store, scope, request.params.deviceId, { limit, ...(cursor && { cursor }) });
      return { ...page, items: page.items.map((item) => ({ ...item, changes: [...item.changes] })) };
    });
  };

const editingRoutes =
  (store: Store): Routes =>
  async (app) => {
    app.put('/devices/:deviceId/desired', PUT_STATE, async (request, reply) => {
      const { deviceId } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      const work = (sql: Sql) => replaceDesired(sql, actor, deviceId, request.body.state, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });

    app.patch('/devices/:deviceId/desired', PATCH_STATE, async (request, reply) => {
      const { deviceId } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      const work = (sql: Sql) => patchDesired(sql, actor, deviceId, request.body.state, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });

    app.put('/devices/:deviceId/desired/keys/:key', PUT_KEY, async (request, reply) => {
      const { deviceId, key } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      // Null would take it away.
      const patch = { [key]: request.body.value ?? undefined };
      const work = (sql: Sql) => patchDesired(sql, actor, deviceId, patch, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });

    app.delete('/devices/:deviceId/desired/keys/:key', DELETE_KEY, async (request, reply) => {
      const { deviceId, key } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      const work = (sql: Sql) => patchDesired(sql, actor, deviceId, { [key]: null }, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });
  };

const outputRoutes =
  (store: Store): Routes =>
  async (app) => {
    app.put('/devices/:deviceId/desired/outputs/:output', PUT_OUTPUT, async (request, reply) => {
      const { deviceId, output } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      // Null would take it away.
      const value = request.body.value ?? undefined;
      const work = (sql: Sql) => setDesiredOutput(sql, actor, deviceId, { name: output, value }, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });

    app.delete('/devices/:deviceId/desired/outputs/:output', DELETE_OUTPUT, async (request, reply) => {
      const { deviceId, output } = request.params;
      const [{ actor }, expected] = [principalOf(request), expectedOf(request.headers)];
      const work = (sql: Sql) => setDesiredOutput(sql, actor, deviceId, { name: output, value: null }, expected);
      return shown(reply, await edit(store, principalOf(request).scope, deviceId, work));
    });
  };

/** A device that the scope does not reach is none. */
async function edit(
  store: Store,
  scope: Scope,
  deviceId: string,
  work: (sql: Sql) => Promise<DesiredChange>,
): Promise<DesiredView> {
  await store.transaction(async (sql) => {
    await readDevice(sql, scope, deviceId);
    return work(sql);
  });
  return readDesired(store, scope, deviceId);
}

function shown(reply: { header(name: string, value: string): unknown }, view: DesiredView) {
  reply.header('etag', etagOf(view.version));
  return { ...view, state: { ...view.state } };
}

/** Null edits whatever is there. */
const expectedOf = (headers: { 'if-match'?: string }): number | null =>
  headers['if-match'] === undefined ? null : editedVersion(headers['if-match']);
