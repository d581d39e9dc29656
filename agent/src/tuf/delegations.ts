import { createHash } from 'node:crypto';
import type { Delegations, Keys, Role } from './formats.ts';

/** A role that may speak of a target, with the keys that it has to sign with. */
export interface Delegation {
  readonly name: string;
  readonly role: Role;
  readonly keys: Keys;
  readonly terminating: boolean;
}

/** Who may speak of a target, in the order in which they are believed (4.5). */
export function delegationsFor(delegations: Delegations, path: string): Delegation[] {
  const { keys, roles = [], succinct_roles: bins } = delegations;
  const hash = createHash('sha256').update(path).digest('hex');
  if (bins) {
    const name = `${bins.name_prefix}-${binOf(hash, bins.bit_length)}`;
    return [{ name, role: bins, keys, terminating: true }];
  }
  return roles
    .filter(({ paths = [], path_hash_prefixes: prefixes = [] }) => {
      const isNamed = paths.some((pattern) => isMatch(pattern, path));
      return isNamed || prefixes.some((prefix) => hash.startsWith(prefix));
    })
    .map((role) => ({ name: role.name, role, keys, terminating: role.terminating }));
}

/** TAP 15: the first bits of the hash, as many hex digits as the last bin takes. */
function binOf(hash: string, bits: number): string {
  const bin = Number.parseInt(hash.slice(0, 8), 16) >>> (32 - bits);
  return bin.toString(16).padStart(Math.ceil(bits / 4), '0');
}

/**
 * PATHPATTERN: `*` and `?` stand for what is within one part of the path, everything else for itself. No braces, no
 * negation, no classes: a pattern that others read in a larger sense matches less here, and never more.
 */
export function isMatch(pattern: string, path: string): boolean {
  const [patterns, parts] = [pattern.split('/'), path.split('/')];
  return patterns.length === parts.length && patterns.every((one, n) => isPartMatch(one, parts[n] ?? ''));
}

/** Goes back to the last `*` only, so that no pattern takes longer than its length times that of the part. */
function isPartMatch(pattern: string, part: string): boolean {
  let [at, from] = [0, 0];
  let star: { readonly at: number; from: number } | null = null;
  while (from < part.length) {
    if (pattern[at] === '*') {
      star = { at, from };
      at += 1;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === part[from])) {
      at += 1;
      from += 1;
    } else if (star) {
      star.from += 1;
      at = star.at + 1;
      from = star.from;
    } else return false;
  }
  return pattern.slice(at).replaceAll('*', '') === '';
}
