import Type from 'typebox';
import { BundleName } from '@paddock/shared/manifest.ts';
import { listReleases, RELEASE_STATES, releaseAt, type ReleaseState } from '../../firmware/releases.ts';
import { decodeCursor, pageOf } from '../../devices/cursor.ts';
import { RepositoryError } from '../../tuf/repository-error.ts';
import type { Store } from '../../ports.ts';
import type { Routes } from '../routes.ts';
import { Count, Cursor, DEFAULT_LIMIT, Id, Input, Instant, Limit, Nullable, pageSchema, refusals } from '../schemas.ts';

const tags = ['firmware'];
const Hex = Type.String({ pattern: '^[0-9a-f]{64}$' });
const Counter = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export const ReleaseView = Type.Object({
  name: Id,
  version: Type.String(),
  counter: Counter,
  state: Type.Unsafe<ReleaseState>(Type.String({ enum: [...RELEASE_STATES] })),
  sha256: Type.String({ ...Hex, description: "The release's digest: SHA-256 of its manifest" }),
  indexSha256: Hex,
  models: Type.Array(Id),
  files: Count,
  bytes: Type.Integer({ minimum: 0, description: 'Of the payload' }),
  bundleBytes: Count,
  uploadedAt: Instant,
  publishedAt: Nullable(Instant),
  withdrawnAt: Nullable(Instant),
});

const LIST_RELEASES = {
  schema: {
    tags,
    operationId: 'listReleases',
    summary: 'Releases of firmware, by name, the newest of each first',
    querystring: Input({
      name: Type.Optional(BundleName),
      limit: Type.Optional(Limit),
      cursor: Type.Optional(Cursor),
    }),
    response: { 200: pageSchema(ReleaseView), ...refusals },
  },
} as const;

const GET_RELEASE = {
  schema: {
    tags,
    operationId: 'getRelease',
    summary: 'One release',
    params: Type.Object({ name: BundleName, counter: Type.String({ pattern: '^[1-9][0-9]{0,14}$' }) }),
    response: { 200: ReleaseView, ...refusals },
  },
} as const;

/** Which releases there are. They are the operator's own, and every token may read them. */
export const releaseRoutes =
  ({ store }: { readonly store: Store }): Routes =>
  async (app) => {
    app.get('/releases', LIST_RELEASES, async (request) => {
      const { name, limit = DEFAULT_LIMIT, cursor } = request.query;
      const [afterName, afterCounter] = cursor === undefined ? [] : decodeCursor(cursor, ['text', 'count']);
      const after = afterName === undefined ? null : ([String(afterName), Number(afterCounter)] as const);
      const rows = await listReleases(store, { name, after, limit: limit + 1 });
      const page = pageOf(
        rows,
        limit,
        (row) => [row.name, row.counter],
        (row) => ({ ...row, models: [...row.models] }),
      );
      return { items: [...page.items], next: page.next };
    });

    app.get('/releases/:name/:counter', GET_RELEASE, async (request) => {
      const { name, counter } = request.params;
      const release = await releaseAt(store, name, Number(counter));
      if (release === null) throw new RepositoryError('release_unknown', `${name} ${counter}`);
      return { ...release, models: [...release.models] };
    });
  };
