import { missingPrograms } from '@paddock/shared/bundle-commands.ts';
import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Recipe } from './recipe.ts';
import { RecipeError, type RecipeProblem } from './recipe-error.ts';

/**
 * A command that names a path is a program of the payload: a mistake there would show on a device only, as a release
 * that never starts.
 * @throws RecipeError `command_missing`
 */
export function checkCommands(recipe: Recipe, entries: readonly IndexEntry[]): void {
  const problems = missingPrograms(recipe, entries).map(({ path, program }): RecipeProblem => ({
    code: 'command_missing',
    path: [...path, 'command', 0],
    message: `is no program of the payload: ${program}`,
  }));
  if (problems.length > 0) throw new RecipeError(problems);
}
