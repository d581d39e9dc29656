import Type from 'typebox';
import { authorityId, SHOWN_DIGITS } from '../../trust/standing.ts';
import { AuthorityId } from './authorities.ts';
import type { KeyList } from '@paddock/shared/enrolment.ts';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import { firmwareRoot } from '../../firmware/metadata-store.ts';
import { nextKeyList, type Believed } from '../../trust/key-list.ts';
import { addKeyList, keyLists, newestKeyList } from '../../trust/key-lists.ts';
import { withdrawable } from '../../trust/withdrawal.ts';
import type { Clock, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { HttpError } from '../problem.ts';
import type { Routes } from '../routes.ts';
import { Input, Instant, Nullable, PublicJwk, refusals } from '../schemas.ts';

const tags = ['trust'];
const KeyId = Type.String({ pattern: '^[A-Za-z0-9_-]{12}$', description: "The thumbprint's first 12 characters" });

const KeyListView = Type.Object({
  version: Type.Integer(),
  issuedAt: Instant,
  epoch: Type.Integer(),
  rootKeyId: KeyId,
  keyIds: Type.Array(KeyId),
  authorities: Type.Array(AuthorityId, { description: 'Authorities that it names' }),
  firmwareRoot: Nullable(Type.Integer({ description: 'Version of the root of firmware that devices begin with' })),
  sealed: Type.String({ description: 'The compact JWS, as devices get it' }),
});

export interface KeyListParts {
  readonly store: Store;
  readonly clock: Clock;
  /** Whom devices should believe, as this service sees it. */
  readonly believed: (root: Believed['root'], epoch?: number) => Believed;
}

/** The walk shows at most so many steps: a fleet makes a handful in its life. */
const SHOWN = 500;

/** Lists of keys: what devices believe, and what the fleet root should seal next. */
export const keyListRoutes =
  ({ store, clock, believed }: KeyListParts): Routes =>
  async (app) => {
    app.get(
      '/key-lists',
      {
        schema: {
          tags,
          operationId: 'listKeyLists',
          summary: 'Lists of keys that the fleet root sealed, newest first',
          response: { 200: Type.Object({ items: Type.Array(KeyListView) }), ...refusals },
        },
      },
      async () => ({ items: await Promise.all((await keyLists(store, SHOWN)).map(viewOf)) }),
    );

    app.post(
      '/key-lists/next',
      {
        schema: {
          tags,
          operationId: 'nextKeyList',
          summary: 'What the fleet root should seal next: null when devices know all of it',
          body: Input({
            root: Type.Optional(PublicJwk),
            withoutKeys: Type.Optional(Type.Array(KeyId, { maxItems: 16 })),
            withoutAuthorities: Type.Optional(Type.Array(AuthorityId, { maxItems: 8 })),
            again: Type.Optional(Type.Boolean({ description: 'A list even when devices know all of it' })),
          }),
          response: { 200: Type.Object({ payload: Nullable(Type.Unknown()) }), ...refusals },
        },
      },
      async (request) => {
        const newest = await newestKeyList(store);
        if (newest === null) throw new HttpError('not_found', 'There is no list of keys yet');
        const { root = newest.list.root, withoutKeys = [], withoutAuthorities = [], again = false } = request.body;
        const wanted = { ...believed(root, newest.list.epoch), firmwareRoot: await firmwareRoot(store) };
        const authorities = withdrawable(withoutAuthorities, newest.list, wanted);
        const asked = { keyIds: withoutKeys, authorities, again };
        return { payload: await nextKeyList(newest.list, wanted, clock.wall(), asked) };
      },
    );

    app.post(
      '/key-lists',
      {
        schema: {
          tags,
          operationId: 'addKeyList',
          summary: 'Add the next list, sealed by the root that the newest one names',
          body: Input({ sealed: Type.String({ maxLength: 32_768 }) }),
          response: { 201: KeyListView, ...refusals },
        },
      },
      async (request, reply) => {
        if (principalOf(request).scope.customerId !== null) throw new HttpError('scope_forbidden');
        const { sealed } = request.body;
        const list = await store.transaction((sql) => addKeyList(sql, sealed, null));
        return reply.code(201).send(await viewOf({ sealed, list }));
      },
    );
  };

async function viewOf({ sealed, list }: { readonly sealed: string; readonly list: KeyList }) {
  const keyIds = await Promise.all(list.keys.map(async (jwk) => (await importVerificationKey(jwk)).keyId));
  return {
    version: list.version,
    issuedAt: list.issuedAt,
    epoch: list.epoch,
    rootKeyId: (await importVerificationKey(list.root)).keyId,
    keyIds,
    authorities: list.authorities.map((der) => authorityId(Buffer.from(der, 'base64url')).slice(0, SHOWN_DIGITS)),
    firmwareRoot: list.firmwareRoot?.version ?? null,
    sealed,
  };
}
