import Type, { type Static, type TObject, type TProperties } from 'typebox';
import type { Page, PageRequest, Versioned } from '../../customers/catalogue.ts';
import type { Actor, Scope } from '../../customers/scope.ts';
import { decodeCursor, encodeCursor } from '../../devices/cursor.ts';
import type { Sql, Store } from '../../ports.ts';
import { principalOf } from '../auth.ts';
import { editedVersion, etagOf } from '../etag.ts';
import type { Routes } from '../routes.ts';
import { Cursor, DEFAULT_LIMIT, Id, IfMatch, Input, Limit, pageSchema, refusals } from '../schemas.ts';

/** A kind of thing that people create, list, read and edit in the same way. */
export interface CatalogueRoutes<New extends TProperties, Edit extends TProperties> {
  /** As in the path, and one of them as in the document. */
  readonly names: { readonly many: string; readonly one: string };
  readonly item: TObject;
  readonly create: {
    readonly body: New;
    idOf(body: Static<TObject<New>>): string;
    run(sql: Sql, scope: Scope, actor: Actor, body: Static<TObject<New>>): Promise<Versioned>;
  };
  readonly edit: {
    readonly body: Edit;
    run(sql: Sql, scope: Scope, actor: Actor, target: Target, body: Static<TObject<Edit>>): Promise<Versioned>;
  };
  readonly read: (sql: Sql, scope: Scope, id: string) => Promise<Versioned>;
  readonly list: (sql: Sql, scope: Scope, page: PageRequest) => Promise<Page<Versioned>>;
}

/** What an edit is made to, and the version that it was made from. */
interface Target {
  readonly id: string;
  readonly expectedVersion: number;
}

const params = Type.Object({ id: Id });
const Paging = Input({ limit: Type.Optional(Limit), cursor: Type.Optional(Cursor) });

/** The cursor of a list that is sorted by one id. */
export const pageRequestOf = ({ limit, cursor }: { limit?: number; cursor?: string }): PageRequest => ({
  limit: limit ?? DEFAULT_LIMIT,
  cursor: cursor === undefined ? undefined : String(decodeCursor(cursor, ['text'])[0]),
});

export const pageBodyOf = <Item>({ items, next }: Page<Item>): { items: Item[]; next: string | null } => ({
  items: [...items],
  next: next === null ? null : encodeCursor([next]),
});

/** List, create, read and edit, with ETag and If-Match. */
export const catalogueRoutes =
  <New extends TProperties, Edit extends TProperties>(store: Store, catalogue: CatalogueRoutes<New, Edit>): Routes =>
  async (app) => {
    const { create, edit } = catalogue;
    const path = `/${catalogue.names.many}`;
    const options = optionsOf(catalogue);

    app.get(path, options.list, async (request) => {
      const page = await catalogue.list(store, principalOf(request).scope, pageRequestOf(request.query));
      return pageBodyOf({ ...page, items: page.items.map((item) => ({ ...item })) });
    });

    app.post(path, options.create, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const body = request.body as Static<TObject<New>>;
      const created = await store.transaction((sql) => create.run(sql, scope, actor, body));
      reply.code(201).header('etag', etagOf(created.version));
      reply.header('location', `/api/v1${path}/${create.idOf(body)}`);
      return { ...created };
    });

    app.get(`${path}/:id`, options.read, async (request, reply) => {
      const found = await catalogue.read(store, principalOf(request).scope, request.params.id);
      reply.header('etag', etagOf(found.version));
      return { ...found };
    });

    app.patch(`${path}/:id`, options.edit, async (request, reply) => {
      const { scope, actor } = principalOf(request);
      const target = { id: request.params.id, expectedVersion: editedVersion(request.headers['if-match']) };
      const body = request.body as Static<TObject<Edit>>;
      const edited = await store.transaction((sql) => edit.run(sql, scope, actor, target, body));
      reply.header('etag', etagOf(edited.version));
      return { ...edited };
    });
  };

function optionsOf<New extends TProperties, Edit extends TProperties>(catalogue: CatalogueRoutes<New, Edit>) {
  const { names, item, create, edit } = catalogue;
  const tags = [names.many];
  const one = capital(names.one);
  const many = capital(names.many);
  const found = { 200: item, ...refusals };
  return {
    list: {
      schema: {
        tags,
        operationId: `list${many}`,
        summary: `${many} by id`,
        querystring: Paging,
        response: { 200: pageSchema(item), ...refusals },
      },
    },
    create: {
      schema: {
        tags,
        operationId: `create${one}`,
        summary: `Create a ${names.one}`,
        body: Input(create.body),
        response: { 201: item, ...refusals },
      },
    },
    read: { schema: { tags, operationId: `get${one}`, summary: `One ${names.one}`, params, response: found } },
    edit: {
      schema: {
        tags,
        operationId: `edit${one}`,
        summary: `Edit a ${names.one}`,
        params,
        headers: IfMatch,
        body: Input(edit.body),
        response: found,
      },
    },
  };
}

const capital = (name: string): string => name.charAt(0).toUpperCase() + name.slice(1);
