import type { Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

/** Something that people give a value: the option of the command line, and the API's name of it. */
export interface Attribute {
  readonly flag: string;
  readonly key: string;
  readonly help: string;
  /** Has to be given when the thing is created. */
  readonly required?: boolean;
  /** Is given once and never edited. */
  readonly fixed?: boolean;
}

/** What the command line calls a kind of thing that people create, edit and list. */
export interface CatalogueWords {
  readonly many: string;
  readonly one: string;
  /** The API's name of its id. */
  readonly id: string;
  readonly attributes: readonly Attribute[];
  readonly columns: readonly Column<Item>[];
}

const column = (heading: string, key: string): Column<Item> => ({ heading, show: (item) => item[key] });

const NAME = { flag: '--name <text>', key: 'name', help: 'what people call it', required: true } as const;

export const CATALOGUES: readonly CatalogueWords[] = [
  {
    many: 'customers',
    one: 'customer',
    id: 'customerId',
    attributes: [NAME],
    columns: [column('CUSTOMER', 'customerId'), column('NAME', 'name'), column('CREATED', 'createdAt')],
  },
  {
    many: 'sites',
    one: 'site',
    id: 'siteId',
    attributes: [
      NAME,
      { flag: '--customer <id>', key: 'customerId', help: 'whose site it is', fixed: true },
      { flag: '--time-zone <name>', key: 'timeZone', help: 'an IANA name, such as Europe/Zurich (default UTC)' },
    ],
    columns: [
      column('SITE', 'siteId'),
      column('CUSTOMER', 'customerId'),
      column('NAME', 'name'),
      column('TIME ZONE', 'timeZone'),
    ],
  },
  {
    many: 'models',
    one: 'model',
    id: 'modelId',
    attributes: [
      NAME,
      { flag: '--manufacturer <text>', key: 'manufacturer', help: 'who makes it', required: true },
      { flag: '--family <text>', key: 'family', help: 'the family that it belongs to' },
      { flag: '--customer <id>', key: 'customerId', help: 'only for this customer', fixed: true },
    ],
    columns: [
      column('MODEL', 'modelId'),
      column('CUSTOMER', 'customerId'),
      column('MANUFACTURER', 'manufacturer'),
      column('FAMILY', 'family'),
      column('NAME', 'name'),
    ],
  },
];

export const DEVICE_ATTRIBUTES: readonly Attribute[] = [
  { flag: '--name <text>', key: 'name', help: 'what people call it' },
  { flag: '--customer <id>', key: 'customerId', help: 'whose device it is' },
  { flag: '--site <id>', key: 'siteId', help: 'where it stands' },
  { flag: '--model <id>', key: 'modelId', help: 'what kind of kiosk it is' },
  { flag: '--serial-number <text>', key: 'serialNumber', help: 'what its maker calls it' },
];

export const DEVICE_COLUMNS: readonly Column<Item>[] = [
  column('DEVICE', 'deviceId'),
  column('NAME', 'name'),
  column('CUSTOMER', 'customerId'),
  column('SITE', 'siteId'),
  column('PRESENCE', 'presence'),
  column('SINCE', 'presenceSince'),
  { heading: 'LAST REPORT', show: ({ lastReport }) => (lastReport as Item | null)?.['receivedAt'] },
];

export const TOKEN_COLUMNS: readonly Column<Item>[] = [
  column('TOKEN', 'tokenId'),
  column('NAME', 'name'),
  { heading: 'CUSTOMER', show: ({ customerId }) => customerId ?? '(all)' },
  column('CREATED', 'createdAt'),
  column('LAST USED', 'lastUsedAt'),
  column('REVOKED', 'revokedAt'),
];

/** How wrong a clock is against the database's: where it was measured to lie. */
const offsetOf = (clock: Item): string => {
  const { lowMs, highMs } = clock['offset'] as Item;
  return `${Number(lowMs).toFixed(1)} to ${Number(highMs).toFixed(1)}`;
};

export const KEY_LIST_COLUMNS: readonly Column<Item>[] = [
  column('VERSION', 'version'),
  column('SEALED', 'issuedAt'),
  column('EPOCH', 'epoch'),
  column('NEXT ROOT', 'rootKeyId'),
  { heading: 'KEYS', show: ({ keyIds }) => (keyIds as string[]).join(' ') },
  { heading: 'AUTHORITIES', show: ({ authorities }) => (authorities as string[]).join(' ') },
];

export const RELEASE_COLUMNS: readonly Column<Item>[] = [
  column('NAME', 'name'),
  column('COUNTER', 'counter'),
  column('VERSION', 'version'),
  column('STATE', 'state'),
  { heading: 'MODELS', show: ({ models }) => (models as string[]).join(' ') },
  column('BYTES', 'bytes'),
  column('PUBLISHED', 'publishedAt'),
  { heading: 'DIGEST', show: ({ sha256 }) => String(sha256).slice(0, 12) },
];

export const INSTANCE_COLUMNS: readonly Column<Item>[] = [
  column('INSTANCE', 'instanceId'),
  column('HOST', 'host'),
  column('VERSION', 'version'),
  column('STARTED', 'startedAt'),
  { heading: 'STATE', show: ({ alive }) => (alive === true ? 'running' : 'silent') },
  { heading: 'CLOCK ERROR MS', show: ({ clock }) => (clock as Item)['errorMs'] },
  { heading: 'FROM', show: ({ clock }) => (clock as Item)['source'] },
  { heading: 'OFFSET MS', show: ({ clock }) => offsetOf(clock as Item) },
  { heading: 'CLOCK', show: ({ clock }) => ((clock as Item)['disagrees'] === true ? 'CONTRADICTS' : 'agrees') },
];

export const PENDING_COLUMNS: readonly Column<Item>[] = [
  column('FINGERPRINT', 'fingerprint'),
  column('SERIAL NUMBER', 'serialNumber'),
  column('MODEL', 'model'),
  column('ADDRESS', 'address'),
  column('STATUS', 'status'),
  column('REASON', 'reason'),
  column('WOULD BE', 'deviceId'),
  column('LAST ASKED', 'lastAskedAt'),
];

export const FACTORY_LIST_COLUMNS: readonly Column<Item>[] = [
  column('SERIAL NUMBER', 'serialNumber'),
  column('FINGERPRINT', 'fingerprint'),
  column('CUSTOMER', 'customerId'),
  column('MODEL', 'modelId'),
  column('SITE', 'siteId'),
  column('DEVICE', 'deviceId'),
];

export const FACTORY_KEY_COLUMNS: readonly Column<Item>[] = [
  column('BATCH', 'batchId'),
  column('CUSTOMER', 'customerId'),
  column('MODEL', 'modelId'),
  { heading: 'USED', show: ({ used, maxDevices }) => `${String(used)} of ${String(maxDevices)}` },
  column('FROM', 'notBefore'),
  column('UNTIL', 'notAfter'),
  column('REVOKED', 'revokedAt'),
];
