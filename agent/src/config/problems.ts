import type { TSchema } from 'typebox';
import { Errors } from 'typebox/schema';
import { Default, Pointer } from 'typebox/value';

export type Path = readonly (string | number)[];
export type ProblemCode = 'config_unreadable' | 'config_syntax' | 'config_unknown_key' | 'config_invalid';

/** One mistake in the configuration, and where. */
export interface Problem {
  readonly code: ProblemCode;
  readonly path: Path;
  readonly message: string;
}

export const invalid = (path: Path, message: string): Problem => ({ code: 'config_invalid', path, message });

/**
 * Fills defaults in and compares with the schema.
 * @returns the value with its defaults, and every mistake in it
 */
export function checkAgainst(schema: TSchema, value: unknown, path: Path): { value: unknown; problems: Problem[] } {
  const filled = Default(schema, structuredClone(value));
  const [, errors] = Errors(schema, filled);
  const problems = errors.flatMap((error) => toProblems(schema, error, path));
  return { value: filled, problems };
}

type SchemaError = ReturnType<typeof Errors>[1][number];

function toProblems(schema: TSchema, error: SchemaError, base: Path): Problem[] {
  const path = [...base, ...pointerParts(error.instancePath)];
  const at = schemaAt(schema, error.schemaPath);
  if (error.keyword === 'additionalProperties') {
    const known = Object.keys(at.properties ?? {});
    return error.params.additionalProperties.map((key) => unknownKey([...path, key], known));
  }
  if (error.keyword === 'required') {
    return error.params.requiredProperties.map((key) => invalid([...path, key], 'is missing'));
  }
  // An unknown key is told once, and a union by its own words rather than by each of its members.
  if (error.keyword === 'boolean' || error.schemaPath.includes('/anyOf/')) return [];
  if (error.keyword === '~refine') return [invalid(path, error.params.message)];
  if (typeof at.expects === 'string') return [invalid(path, at.expects)];
  if (error.keyword === 'enum') return [invalid(path, `must be one of ${error.params.allowedValues.join(', ')}`)];
  return [invalid(path, error.message)];
}

export function unknownKey(path: Path, known: readonly string[]): Problem {
  const near = closest(String(path.at(-1)), known);
  const hint = near === undefined ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
  return { code: 'config_unknown_key', path, message: `is not a known key (${hint})` };
}

/** Words a value that names nothing, with the name that was probably meant. */
export function namesNothing(path: Path, name: unknown, what: string, known: readonly string[]): Problem {
  const near = closest(String(name), known);
  const listed = known.length === 0 ? 'there is none' : `there is ${known.join(', ')}`;
  return invalid(path, `names no ${what}: ${String(name)} (${near === undefined ? listed : `did you mean ${near}?`})`);
}

/** The known word that a typing mistake or two away from this one. */
export function closest(word: string, known: readonly string[]): string | undefined {
  const ranked = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .toSorted((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best && best.distance <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : undefined;
}

/** Levenshtein's distance, one row at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      next.push(Math.min((row[j] ?? 0) + (letter === other ? 0 : 1), (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}

/** Array indices are kept as text: the YAML document takes both. */
const pointerParts = (pointer: string): string[] => [...Pointer.Indices(pointer)];

function schemaAt(schema: TSchema, schemaPath: string): { properties?: object; expects?: unknown } {
  const found: unknown = Pointer.Get(schema, schemaPath.slice(1));
  return typeof found === 'object' && found !== null ? found : {};
}
