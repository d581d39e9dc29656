import type { Sql } from '../ports.ts';
import { checkedId, checkedText, checkedTimeZone } from './attributes.ts';
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
import { DEFAULT_CUSTOMER, readCustomer } from './customers.ts';
import { requireReach, type Actor, type Scope } from './scope.ts';

/** A place where kiosks of one customer stand. */
export interface Site extends Versioned {
  readonly siteId: string;
  readonly customerId: string;
  readonly name: string;
  /** An IANA name, such as Europe/Zurich. */
  readonly timeZone: string;
}

const SITES: Catalogue<Site> = {
  table: 'sites',
  id: 'site_id',
  columns: { siteId: 'site_id', customerId: 'customer_id', name: 'name', timeZone: 'time_zone' },
  visible: 'customer_id = $1',
  errors: { unknown: 'site_unknown', exists: 'site_exists' },
};

export interface NewSite {
  readonly siteId: string;
  /** By default the scope's own customer, or `default`. */
  readonly customerId?: string | undefined;
  readonly name: string;
  readonly timeZone?: string | undefined;
}

/** @throws FleetError `scope_forbidden`, `customer_unknown`, `site_exists`, `id_invalid`, `text_invalid`, `time_zone_invalid` */
export async function createSite(sql: Sql, scope: Scope, actor: Actor, input: NewSite): Promise<Site> {
  const customerId = input.customerId ?? scope.customerId ?? DEFAULT_CUSTOMER;
  requireReach(scope, customerId);
  await readCustomer(sql, scope, customerId);
  return insertItem(sql, SITES, actor, {
    siteId: checkedId(input.siteId),
    customerId,
    name: checkedText(input.name),
    timeZone: checkedTimeZone(input.timeZone ?? 'UTC'),
  });
}

export interface SiteEdit {
  readonly siteId: string;
  readonly expectedVersion: number | null;
  readonly name?: string | undefined;
  readonly timeZone?: string | undefined;
}

/** @throws FleetError `site_unknown`, `version_conflict`, `text_invalid`, `time_zone_invalid` */
export async function editSite(sql: Sql, scope: Scope, actor: Actor, edit: SiteEdit): Promise<Site> {
  const change = {
    name: edit.name === undefined ? undefined : checkedText(edit.name),
    timeZone: edit.timeZone === undefined ? undefined : checkedTimeZone(edit.timeZone),
  };
  return updateItem(sql, SITES, { scope, actor, id: edit.siteId, expectedVersion: edit.expectedVersion, change });
}

/** @throws FleetError `site_unknown` */
export const readSite = (sql: Sql, scope: Scope, siteId: string): Promise<Site> => readItem(sql, SITES, scope, siteId);

export const listSites = (sql: Sql, scope: Scope, page: PageRequest): Promise<Page<Site>> =>
  listItems(sql, SITES, scope, page);
