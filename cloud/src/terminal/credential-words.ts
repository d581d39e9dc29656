import type { Column } from './table.ts';

type Item = Readonly<Record<string, unknown>>;

const column = (heading: string, key: string): Column<Item> => ({ heading, show: (item) => item[key] });

export const CERTIFICATE_COLUMNS: readonly Column<Item>[] = [
  column('SERIAL', 'serial'),
  column('AUTHORITY', 'authority'),
  column('ISSUED', 'issuedAt'),
  column('UNTIL', 'notAfter'),
  column('REVOKED', 'revokedAt'),
  column('REASON', 'reason'),
];

export const IDENTITY_KEY_COLUMNS: readonly Column<Item>[] = [
  column('FINGERPRINT', 'thumbprint'),
  column('ADDED', 'addedAt'),
  column('REVOKED', 'revokedAt'),
  column('REASON', 'reason'),
];

export const AUTHORITY_COLUMNS: readonly Column<Item>[] = [
  column('ID', 'id'),
  column('STATE', 'state'),
  column('SUBJECT', 'subject'),
  column('UNTIL', 'notAfter'),
  column('LISTED', 'listedSince'),
  column('DEVICES', 'devices'),
  column('BEHIND', 'behind'),
];
