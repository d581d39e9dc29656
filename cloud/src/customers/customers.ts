import type { Sql } from '../ports.ts';
import { checkedId, checkedText } from './attributes.ts';
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
import { requireReach, type Actor, type Scope } from './scope.ts';

/** Whom kiosks belong to: what tokens and queries are limited by. */
export interface Customer extends Versioned {
  readonly customerId: string;
  readonly name: string;
}

/** Whose a device is when nobody says so; there from the first migration. */
export const DEFAULT_CUSTOMER = 'default';

const CUSTOMERS: Catalogue<Customer> = {
  table: 'customers',
  id: 'customer_id',
  columns: { customerId: 'customer_id', name: 'name' },
  visible: 'customer_id = $1',
  errors: { unknown: 'customer_unknown', exists: 'customer_exists' },
};

/**
 * In a transaction, as every function here that takes an actor.
 * @throws FleetError `scope_forbidden` unless the scope is all customers, `customer_exists`, `id_invalid`, `text_invalid`
 */
export async function createCustomer(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  input: { readonly customerId: string; readonly name: string },
): Promise<Customer> {
  requireReach(scope, null);
  return insertItem(sql, CUSTOMERS, actor, { customerId: checkedId(input.customerId), name: checkedText(input.name) });
}

/** @throws FleetError `customer_unknown`, `version_conflict`, `text_invalid` */
export async function editCustomer(
  sql: Sql,
  scope: Scope,
  actor: Actor,
  edit: { readonly customerId: string; readonly expectedVersion: number | null; readonly name?: string | undefined },
): Promise<Customer> {
  const change = { name: edit.name === undefined ? undefined : checkedText(edit.name) };
  return updateItem(sql, CUSTOMERS, {
    scope,
    actor,
    id: edit.customerId,
    expectedVersion: edit.expectedVersion,
    change,
  });
}

/** @throws FleetError `customer_unknown` */
export const readCustomer = (sql: Sql, scope: Scope, customerId: string): Promise<Customer> =>
  readItem(sql, CUSTOMERS, scope, customerId);

export const listCustomers = (sql: Sql, scope: Scope, page: PageRequest): Promise<Page<Customer>> =>
  listItems(sql, CUSTOMERS, scope, page);
