import type { Scope } from '../customers/scope.ts';

/** A part of a WHERE clause; `?` stands for its value. */
export type Condition = readonly [sql: string, value: unknown];

/** The scope as a condition on the device, joined as `d`: there is no way to ask without one. */
export const scopeOf = ({ customerId }: Scope): Condition[] =>
  customerId === null ? [] : [['d.customer_id = ?', customerId]];

/** Joins conditions with AND and numbers their values. */
export function whereOf(conditions: readonly Condition[]): { where: string; values: unknown[] } {
  if (conditions.length === 0) return { where: '', values: [] };
  const parts = conditions.map(([sql], at) => sql.replace('?', () => `$${at + 1}`));
  return { where: `WHERE ${parts.join(' AND ')}`, values: conditions.map(([, value]) => value) };
}
