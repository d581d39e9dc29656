/** What can be wrong with a recipe, besides what no slot may hold. */
export const RECIPE_ERRORS = {
  recipe_missing: 'There is no bundle.yaml in the directory',
  recipe_syntax: 'bundle.yaml is not YAML',
  recipe_unknown_key: 'A key of bundle.yaml is not known',
  recipe_invalid: 'A value of bundle.yaml does not fit, or is missing',
  payload_missing: 'What `payload` names is no directory',
  command_missing: 'A command names a path that is no program of the payload',
} as const satisfies Record<string, string>;

export type RecipeErrorCode = keyof typeof RECIPE_ERRORS;

/** One mistake, and the path of the field that it is in. */
export interface RecipeProblem {
  readonly code: RecipeErrorCode;
  readonly path: readonly (string | number)[];
  readonly message: string;
}

/** A recipe that cannot be used; all mistakes that were found, at once. */
export class RecipeError extends Error {
  override readonly name = 'RecipeError';
  /** The code of the first problem. */
  readonly code: RecipeErrorCode;
  readonly problems: readonly RecipeProblem[];

  constructor(problems: readonly RecipeProblem[], options?: ErrorOptions) {
    super(problems.map(({ path, message }) => [path.join('.'), message].join(' ').trim()).join('\n'), options);
    this.code = problems[0]?.code ?? 'recipe_invalid';
    this.problems = problems;
  }
}
