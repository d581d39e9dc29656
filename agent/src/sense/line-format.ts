import type { RawValue } from '../ports.ts';
import { repeatsItself } from './pattern-loops.ts';

/** Patterns are compiled once, at start. Unicode mode refuses the escapes that mean nothing. */
export const compilePattern = (pattern: string): RegExp => new RegExp(pattern, 'u');

/** Why a pattern is none that can be used, or null when it is one. */
export function patternFault(pattern: string): string | null {
  try {
    compilePattern(pattern);
    return repeatsItself(pattern)
      ? 'repeats what repeats itself, as (a+)+ does: on some lines it would take for ever'
      : null;
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** Names of the groups that a pattern can fill. */
export const groupsOf = (pattern: string): string[] =>
  [...pattern.matchAll(/\(\?<([\p{ID_Start}$_][\p{ID_Continue}$]*)>/gu)].flatMap(([, name]) => (name ? [name] : []));

export type Fields = Readonly<Record<string, unknown>>;
/** Turns a line into fields; null when it does not fit, `checksum` when it came damaged. */
export type LineFormat = (line: string) => Fields | 'checksum' | null;

/** A line is one JSON object. */
export const jsonLine = (line: string): Fields | null => {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? { ...value } : null;
  } catch {
    return null;
  }
};

/** The first pattern that matches fills the fields with its named groups. */
export function patternLine(patterns: readonly string[]): (line: string) => Fields | null {
  const compiled = patterns.map(compilePattern);
  return (line) => {
    for (const pattern of compiled) {
      const match = pattern.exec(line);
      if (match) return groupsOfMatch(match);
    }
    return null;
  };
}

/** Groups that took part in the match. */
export const groupsOfMatch = (match: RegExpExecArray): Fields =>
  Object.fromEntries(Object.entries(match.groups ?? {}).filter(([, text]) => text !== undefined));

/** The field of this name, or by dots the member of a nested object; undefined when it is not there. */
export function fieldOf(fields: Fields, name: string): unknown {
  if (Object.hasOwn(fields, name)) return fields[name];
  const [head = '', ...rest] = name.split('.');
  const inner = Object.hasOwn(fields, head) ? fields[head] : undefined;
  const isObject = typeof inner === 'object' && inner !== null && rest.length > 0;
  return isObject ? fieldOf({ ...inner }, rest.join('.')) : undefined;
}

export const isRawValue = (value: unknown): value is RawValue =>
  typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value));
