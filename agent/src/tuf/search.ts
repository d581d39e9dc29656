import { delegationsFor, type Delegation } from './delegations.ts';
import type { TargetFile, Targets } from './formats.ts';
import { TufError } from './tuf-error.ts';

/** How many roles one search visits (5.6.7.1). */
const MOST_ROLES = 32;

/**
 * 5.6.7: who says what of a target, in pre-order from the top-level role on. What cannot be fetched or verified ends
 * the search: the next one might be asked only because an attacker withheld the one before.
 * @param load fetches and verifies what a role has signed
 * @throws TufError `tuf_target_unknown`, and what `load` throws
 */
export async function findTarget(
  top: Targets,
  path: string,
  load: (delegation: Delegation) => Promise<Targets>,
): Promise<TargetFile> {
  const visited = new Set(['targets']);
  let role: Targets = top;
  let waiting: Delegation[] = [];
  for (;;) {
    const target = Object.hasOwn(role.signed.targets, path) ? role.signed.targets[path] : undefined;
    if (target) return target;
    waiting = [...delegatedBy(role, path), ...waiting];
    const next = nextOf(waiting, visited);
    if (!next || visited.size >= MOST_ROLES) throw new TufError('tuf_target_unknown', path);
    visited.add(next.delegation.name);
    // A terminating role and those that it delegates to are the last that are asked.
    waiting = next.delegation.terminating ? [] : next.rest;
    role = await load(next.delegation);
  }
}

const delegatedBy = ({ signed: { delegations } }: Targets, path: string): Delegation[] =>
  delegations ? delegationsFor(delegations, path) : [];

/** The next role that was not visited: cycles end here. */
function nextOf(
  waiting: readonly Delegation[],
  visited: ReadonlySet<string>,
): { readonly delegation: Delegation; readonly rest: Delegation[] } | null {
  const at = waiting.findIndex(({ name }) => !visited.has(name));
  const delegation = waiting[at];
  return delegation ? { delegation, rest: waiting.slice(at + 1) } : null;
}
