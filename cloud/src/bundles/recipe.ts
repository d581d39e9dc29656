import { Manifest } from '@paddock/shared/manifest.ts';
import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import { Pointer } from 'typebox/value';
import { parseDocument } from 'yaml';
import { RecipeError, type RecipeProblem } from './recipe-error.ts';

/** The file in a recipe's directory. */
export const RECIPE_FILE = 'bundle.yaml';
export const MAX_RECIPE_BYTES = 65_536;

const { name, version, counter, models, fromCounter, installer, run, hooks, health } = Manifest.properties;
const Directory = Type.String({ minLength: 1, maxLength: 1024 });

/** What is written by hand: the manifest without what follows from the payload. */
export const RecipeSchema = Type.Object(
  {
    name,
    version,
    counter,
    models,
    fromCounter,
    installer,
    /** Directories, relative to the recipe's. */
    payload: Type.Union([Directory, Type.Array(Directory, { minItems: 1, maxItems: 16 })], { default: 'payload' }),
    run,
    hooks,
    health,
  },
  { additionalProperties: false },
);

export interface Recipe extends Omit<Static<typeof RecipeSchema>, 'payload'> {
  readonly payload: readonly string[];
}

/** In place of patterns; a number in a path is `*`. */
const EXPECTED: Readonly<Record<string, string>> = {
  name: 'must be 1 to 63 of a-z, 0-9 and -, not beginning with -',
  version:
    'must be 1 to 64 of letters, digits, `.`, `+` and `-`, not beginning with a sign, and in quotes where YAML would read a number',
  counter: 'must be a whole number from 1 on',
  models: 'must be a list of 1 to 64 ids of models',
  'models.*': 'must be the id of a model: 1 to 63 of a-z, 0-9 and -, not beginning with -',
  fromCounter: 'must be a whole number from 1 on',
  installer: 'must be `rauc`, or left out: the agent installs it itself',
  payload: 'must be a directory, or a list of up to 16',
};

/** @throws RecipeError with every mistake: `recipe_syntax`, `recipe_unknown_key`, `recipe_invalid` */
export function parseRecipe(text: string): Recipe {
  const filled = withDefaults(parseYaml(text));
  const validator = Compile(RecipeSchema);
  if (!validator.Check(filled)) throw new RecipeError(problemsIn(validator.Errors(filled)[1]));
  const { payload, ...rest } = filled;
  return { ...rest, payload: typeof payload === 'string' ? [payload] : payload };
}

const withDefaults = (value: unknown): unknown =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? { payload: 'payload', ...value } : value;

function parseYaml(text: string): unknown {
  const syntax = (message: string, cause?: unknown): RecipeError =>
    new RecipeError([{ code: 'recipe_syntax', path: [], message: `bundle.yaml: ${message}` }], { cause });
  if (text.length > MAX_RECIPE_BYTES) throw syntax(`is longer than ${MAX_RECIPE_BYTES} characters`);
  const document = parseDocument(text, { prettyErrors: true });
  const [fault] = document.errors;
  if (fault !== undefined) throw syntax(fault.message, fault);
  try {
    return document.toJS();
  } catch (cause) {
    throw syntax(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

type SchemaError = ReturnType<ReturnType<typeof Compile<typeof RecipeSchema>>['Errors']>[1][number];

function problemsIn(errors: readonly SchemaError[]): RecipeProblem[] {
  const problems = new Map<string, RecipeProblem>();
  for (const problem of errors.flatMap(problemsOf)) {
    const key = JSON.stringify(problem.path);
    if (!problems.has(key)) problems.set(key, problem);
  }
  return [...problems.values()];
}

function problemsOf(error: SchemaError): RecipeProblem[] {
  const path = [...Pointer.Indices(error.instancePath)];
  if (error.keyword === 'additionalProperties')
    return error.params.additionalProperties.map((key) => ({
      code: 'recipe_unknown_key',
      path: [...path, key],
      message: 'is not a known key',
    }));
  if (error.keyword === 'required')
    return error.params.requiredProperties.map((key) => invalid([...path, key], 'is missing'));
  // An unknown key is told once.
  if (error.keyword === 'boolean') return [];
  const words = EXPECTED[path.map((part) => (/^\d+$/.test(part) ? '*' : part)).join('.')];
  return [invalid(path, words ?? (path.length === 0 ? 'bundle.yaml must hold keys and values' : error.message))];
}

const invalid = (path: readonly string[], message: string): RecipeProblem => ({
  code: 'recipe_invalid',
  path,
  message,
});
