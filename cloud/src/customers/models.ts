import type { Sql } from '../ports.ts';
import { checkedId, checkedOptional, checkedText } from './attributes.ts';
import {
  insertItem,
  listItems,
  readItem,
  updateItem,
  type Catalogue,
  type Page,
  type PageRequest,
  type Versioned,
} from './catalogue.ts';
import { readCustomer } from './customers.ts';
import { requireReach, type Actor, type Scope } from './scope.ts';

/** A kind of kiosk: who makes it, the family it belongs to, its name. */
export interface Model extends Versioned {
  readonly modelId: string;
  /** Null: every customer may use it. */
  readonly customerId: string | null;
  readonly manufacturer: string;
  readonly family: string | null;
  readonly name: string;
}

const MODELS: Catalogue<Model> = {
  table: 'models',
  id: 'model_id',
  columns: {
    modelId: 'model_id',
    customerId: 'customer_id',
    manufacturer: 'manufacturer',
    family: 'family',
    name: 'name',
  },
  visible: '(customer_id IS NULL OR customer_id = $1)',
  errors: { unknown: 'model_unknown', exists: 'model_exists' },
};

export interface NewModel {
  readonly modelId: string;
  /** By default the scope's own customer, or every customer. */
  readonly customerId?: string | null | undefined;
  readonly manufacturer: string;
  readonly family?: string | null | undefined;
  readonly name: string;
}

/** @throws FleetError `scope_forbidden`, `customer_unknown`, `model_exists`, `id_invalid`, `text_invalid` */
export async function createModel(sql: Sql, scope: Scope, actor: Actor, input: NewModel): Promise<Model> {
  const customerId = input.customerId === undefined ? scope.customerId : input.customerId;
  requireReach(scope, customerId);
  if (customerId !== null) await readCustomer(sql, scope, customerId);
  return insertItem(sql, MODELS, actor, {
    modelId: checkedId(input.modelId),
    customerId,
    manufacturer: checkedText(input.manufacturer),
    family: checkedOptional(input.family ?? null),
    name: checkedText(input.name),
  });
}

export interface ModelEdit {
  readonly modelId: string;
  readonly expectedVersion: number | null;
  readonly manufacturer?: string | undefined;
  readonly family?: string | null | undefined;
  readonly name?: string | undefined;
}

/** A model of every customer is edited by who reaches every customer. @throws FleetError as createModel, `version_conflict` */
export async function editModel(sql: Sql, scope: Scope, actor: Actor, edit: ModelEdit): Promise<Model> {
  requireReach(scope, (await readModel(sql, scope, edit.modelId)).customerId);
  const change = {
    manufacturer: edit.manufacturer === undefined ? undefined : checkedText(edit.manufacturer),
    family: edit.family === undefined ? undefined : checkedOptional(edit.family),
    name: edit.name === undefined ? undefined : checkedText(edit.name),
  };
  return updateItem(sql, MODELS, { scope, actor, id: edit.modelId, expectedVersion: edit.expectedVersion, change });
}

/** @throws FleetError `model_unknown` */
export const readModel = (sql: Sql, scope: Scope, modelId: string): Promise<Model> =>
  readItem(sql, MODELS, scope, modelId);

export const listModels = (sql: Sql, scope: Scope, page: PageRequest): Promise<Page<Model>> =>
  listItems(sql, MODELS, scope, page);
