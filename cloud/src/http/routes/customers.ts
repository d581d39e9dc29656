import Type from 'typebox';
import { createCustomer, editCustomer, listCustomers, readCustomer } from '../../customers/customers.ts';
import { createModel, editModel, listModels, readModel } from '../../customers/models.ts';
import { createSite, editSite, listSites, readSite } from '../../customers/sites.ts';
import type { Store } from '../../ports.ts';
import type { Routes } from '../routes.ts';
import { Count, Id, Instant, Name, Nullable } from '../schemas.ts';
import { catalogueRoutes } from './catalogue.ts';

const versioned = { createdAt: Instant, version: Count } as const;
const TimeZone = Type.String({ maxLength: 64, description: 'An IANA name, such as Europe/Zurich' });

/** Whom kiosks belong to. */
const customers = (store: Store): Routes =>
  catalogueRoutes(store, {
    names: { many: 'customers', one: 'customer' },
    item: Type.Object({ customerId: Id, name: Type.String(), ...versioned }),
    create: { body: { customerId: Id, name: Name }, idOf: (body) => body.customerId, run: createCustomer },
    edit: {
      body: { name: Type.Optional(Name) },
      run: (sql, scope, actor, { id, expectedVersion }, body) =>
        editCustomer(sql, scope, actor, { ...body, customerId: id, expectedVersion }),
    },
    read: readCustomer,
    list: listCustomers,
  });

/** Where they stand. */
const sites = (store: Store): Routes =>
  catalogueRoutes(store, {
    names: { many: 'sites', one: 'site' },
    item: Type.Object({ siteId: Id, customerId: Id, name: Type.String(), timeZone: Type.String(), ...versioned }),
    create: {
      body: { siteId: Id, customerId: Type.Optional(Id), name: Name, timeZone: Type.Optional(TimeZone) },
      idOf: (body) => body.siteId,
      run: createSite,
    },
    edit: {
      body: { name: Type.Optional(Name), timeZone: Type.Optional(TimeZone) },
      run: (sql, scope, actor, { id, expectedVersion }, body) =>
        editSite(sql, scope, actor, { ...body, siteId: id, expectedVersion }),
    },
    read: readSite,
    list: listSites,
  });

/** What kind they are. */
const models = (store: Store): Routes =>
  catalogueRoutes(store, {
    names: { many: 'models', one: 'model' },
    item: Type.Object({
      modelId: Id,
      customerId: Nullable(Id),
      manufacturer: Type.String(),
      family: Nullable(Type.String()),
      name: Type.String(),
      ...versioned,
    }),
    create: {
      body: {
        modelId: Id,
        customerId: Type.Optional(Nullable(Id)),
        manufacturer: Name,
        family: Type.Optional(Nullable(Name)),
        name: Name,
      },
      idOf: (body) => body.modelId,
      run: createModel,
    },
    edit: {
      body: {
        manufacturer: Type.Optional(Name),
        family: Type.Optional(Nullable(Name)),
        name: Type.Optional(Name),
      },
      run: (sql, scope, actor, { id, expectedVersion }, body) =>
        editModel(sql, scope, actor, { ...body, modelId: id, expectedVersion }),
    },
    read: readModel,
    list: listModels,
  });

/** Whom kiosks belong to, where they stand, and what kind they are. */
export const customerRoutes =
  ({ store }: { store: Store }): Routes =>
  async (app) => {
    for (const routes of [customers, sites, models]) await app.register(routes(store));
  };
