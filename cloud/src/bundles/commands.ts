import { isFile, isLink, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { parentOf } from '@paddock/shared/bundle-path.ts';
import type { Recipe } from './recipe.ts';
import { RecipeError, type RecipeProblem } from './recipe-error.ts';

/**
 * A command that names a path is a program of the payload: a mistake there would show on a device only, as a release
 * that never starts. A name without `/` is a program of the machine.
 * @throws RecipeError `command_missing`
 */
export function checkCommands({ run, hooks, health }: Recipe, entries: readonly IndexEntry[]): void {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  const commands = [
    [['run'], run],
    [['hooks', 'before'], hooks?.before],
    [['hooks', 'after'], hooks?.after],
    [['health', 'probe'], health.probe],
  ] as const;
  const problems = commands.flatMap(([path, given]): RecipeProblem[] => {
    const program = given?.command[0];
    if (program === undefined || !program.includes('/') || isProgram(program, byPath)) return [];
    return [
      { code: 'command_missing', path: [...path, 'command', 0], message: `is no program of the payload: ${program}` },
    ];
  });
  if (problems.length > 0) throw new RecipeError(problems);
}

const MOST_LINKS = 40;

/** Links are followed as a slot has them: what they lead to stays within it, and no path lies under a link. */
function isProgram(path: string, byPath: ReadonlyMap<string, IndexEntry>): boolean {
  let entry = byPath.get(path);
  for (let links = 0; entry !== undefined && isLink(entry) && links < MOST_LINKS; links += 1)
    entry = byPath.get(targetOf(entry.path, entry.link));
  return entry !== undefined && isFile(entry) && entry.mode === '755';
}

function targetOf(path: string, link: string): string {
  const reached = (parentOf(path) ?? '').split('/').filter((name) => name !== '');
  for (const name of link.split('/')) {
    if (name === '..') reached.pop();
    else if (name !== '.') reached.push(name);
  }
  return reached.join('/');
}
