import type { Sql } from '../ports.ts';
import { FleetError } from './errors.ts';

/** Which customer's part of the fleet somebody may see and change: null is all of it. */
export interface Scope {
  readonly customerId: string | null;
}

export const ALL_CUSTOMERS: Scope = { customerId: null };

/** Who stands for a write in the history: `token:operator`, `migration`. */
export type Actor = string;

/** The part of the fleet that a write goes to. @throws FleetError `scope_forbidden` */
export function requireReach(scope: Scope, customerId: string | null): void {
  if (scope.customerId !== null && scope.customerId !== customerId) throw new FleetError('scope_forbidden');
}

/**
 * Names the actor for the rest of the transaction. Outside of a transaction this is forgotten at once, and
 * the history's triggers refuse the write that follows.
 */
export async function actAs(sql: Sql, actor: Actor): Promise<void> {
  await sql.query("SELECT set_config('paddock.actor', $1, true)", [actor]);
}
