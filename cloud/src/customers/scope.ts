import type { Sql } from '../ports.ts';
import { FleetError } from './errors.ts';

/** Which customer's part of the fleet somebody may see and change: null is all of it. */
export interface Scope {
  readonly customerId: string | null;
}

export const ALL_CUSTOMERS: Scope = { customerId: null };

/** Who stands for a write in the history: `token:operator`, `migration`; the id of the request may follow, after a space. */
export type Actor = string;

/** An actor with the request that it came with: history keeps both, and the audit log names the same request. */
export const withRequest = (actor: Actor, requestId: string): Actor => `${actor} ${requestId}`;

/** The actor alone, as it is stored. */
export const actorName = (actor: Actor): string => actor.split(' ', 1)[0] ?? '';

/** The part of the fleet that a write goes to. @throws FleetError `scope_forbidden` */
export function requireReach(scope: Scope, customerId: string | null): void {
  if (scope.customerId !== null && scope.customerId !== customerId) throw new FleetError('scope_forbidden');
}

/**
 * Names the actor for the rest of the transaction. Outside of a transaction this is forgotten at once, and
 * the history's triggers refuse the write that follows.
 */
export async function actAs(sql: Sql, actor: Actor): Promise<void> {
  const name = actorName(actor);
  await sql.query("SELECT set_config('paddock.actor', $1, true), set_config('paddock.request', $2, true)", [
    name,
    actor.slice(name.length + 1),
  ]);
}
