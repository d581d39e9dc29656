import { parseRecipe } from '@paddock/cloud/bundles/recipe.ts';
import { RecipeError } from '@paddock/cloud/bundles/recipe-error.ts';
import { describe, expect, it } from 'vitest';
import { archiveOf, refusalOf, type Tree } from '../../../harness/bundles.ts';

const RECIPE = {
  name: 'kiosk-app',
  version: '1.1.0',
  counter: 2,
  models: ['demo-cp22'],
  run: { command: ['bin/app', '--screen'] },
  hooks: { before: { command: ['bin/before'], timeoutSeconds: 10 } },
  health: { withinSeconds: 60, settleSeconds: 5, sensors: true, probe: { command: ['bin/probe'], timeoutSeconds: 5 } },
};

/** Every mistake, as code and path. */
function mistakes(text: string): string[] {
  try {
    parseRecipe(text);
    return [];
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    expect(error.code).toBe(error.problems[0]?.code);
    return error.problems.map(({ code, path }) => `${code} ${path.join('.')}`);
  }
}

const changed = (change: object): string[] => mistakes(JSON.stringify({ ...RECIPE, ...change }));

describe('a recipe', () => {
  it('is read, with one directory or several as its payload', () => {
    const payloadOf = (payload: unknown): readonly string[] =>
      parseRecipe(JSON.stringify({ ...RECIPE, payload })).payload;
    expect(parseRecipe(JSON.stringify(RECIPE))).toEqual({ ...RECIPE, payload: ['payload'] });
    expect(payloadOf('out')).toEqual(['out']);
    expect(payloadOf(['../common', 'out'])).toEqual(['../common', 'out']);
  });

  it.each<[string, object, string]>([
    ['a name with capitals', { name: 'Kiosk' }, 'recipe_invalid name'],
    ['a name with a slash', { name: '../x' }, 'recipe_invalid name'],
    ['a version that YAML reads as a number', { version: 1.1 }, 'recipe_invalid version'],
    ['the counter 0', { counter: 0 }, 'recipe_invalid counter'],
    ['a counter that is none', { counter: 1.5 }, 'recipe_invalid counter'],
    ['no model', { models: [] }, 'recipe_invalid models'],
    ['a model that is none', { models: ['demo-cp22', 'CP 22'] }, 'recipe_invalid models.1'],
    ['a minimum that is no counter', { fromCounter: 'one' }, 'recipe_invalid fromCounter'],
    ['no directory of a payload', { payload: [] }, 'recipe_invalid payload'],
    ['a payload that is a number', { payload: 5 }, 'recipe_invalid payload'],
    ['an empty command', { run: { command: [] } }, 'recipe_invalid run.command'],
    ['a command that is a text', { run: { command: 'bin/app' } }, 'recipe_invalid run.command'],
    ['a command with a NUL', { run: { command: ['a\0b'] } }, 'recipe_invalid run.command.0'],
    ['a hook without a time', { hooks: { after: { command: ['x'] } } }, 'recipe_invalid hooks.after.timeoutSeconds'],
    ['an unknown key', { sudo: true }, 'recipe_unknown_key sudo'],
    ['an unknown key within', { run: { command: ['x'], user: 'root' } }, 'recipe_unknown_key run.user'],
    ['an unknown hook', { hooks: { during: RECIPE.hooks.before } }, 'recipe_unknown_key hooks.during'],
    [
      'a health without its rest',
      { health: { withinSeconds: 60, sensors: true } },
      'recipe_invalid health.settleSeconds',
    ],
    ['a wait of a day', { health: { ...RECIPE.health, withinSeconds: 86_400 } }, 'recipe_invalid health.withinSeconds'],
  ])('with %s names the field', (_, change, expected) => {
    expect(changed(change)).toEqual([expected]);
  });

  it('tells every mistake at once, in words', () => {
    expect(changed({ name: 'X', counter: 0, extra: 1 }).toSorted()).toEqual([
      'recipe_invalid counter',
      'recipe_invalid name',
      'recipe_unknown_key extra',
    ]);
    expect(mistakes('{}')).toEqual(
      ['name', 'version', 'counter', 'models', 'health'].map((key) => `recipe_invalid ${key}`),
    );
    expect(() => parseRecipe(JSON.stringify({ ...RECIPE, name: 'X' }))).toThrow(
      'name must be 1 to 63 of a-z, 0-9 and -',
    );
    expect(() => parseRecipe('{}')).toThrow('health is missing');
  });

  it.each([
    ['is no YAML', 'name: ['],
    ['says a key twice', 'name: a\nname: b\n'],
    ['is longer than any', '#'.repeat(70_000)],
    [
      'multiplies itself',
      `a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [${'*a,'.repeat(9)}]\nc: &c [${'*b,'.repeat(9)}]\nd: [${'*c,'.repeat(9)}]`,
    ],
    ['names what is not there', 'name: *nobody'],
  ])('that %s has no syntax', (_, text) => {
    expect(mistakes(text)).toEqual(['recipe_syntax ']);
  });

  it.each(['', '5', '[]', 'text', 'null'])('that is %j holds nothing', (text) => {
    expect(mistakes(text)).toEqual(['recipe_invalid ']);
  });
});

describe('the commands of a recipe', () => {
  const program = { content: '#!/bin/sh\n', mode: 0o755 };
  const run = (command: string, tree: Tree): Promise<string | null> =>
    refusalOf(() => archiveOf(tree, { run: { command: [command] } }));

  it('name programs of the payload, or of the machine', async () => {
    expect(await run('bin/app', { 'bin/app': program })).toBeNull();
    expect(await run('bin/app', { 'bin/app': { link: '../lib/app' }, 'lib/app': program })).toBeNull();
    expect(await run('node', {})).toBeNull();
  });

  it('are refused when a device could not start them', async () => {
    expect(await run('bin/app', {})).toBe('command_missing');
    expect(await run('/bin/sh', { 'bin/sh': program })).toBe('command_missing');
    expect(await run('./bin/../../app', { app: program })).toBe('command_missing');
    expect(await run('bin/app', { 'bin/app': 'not to be run' })).toBe('command_missing');
    expect(await run('bin/app', { 'bin/app/x': program })).toBe('command_missing');
    expect(await run('bin/app', { 'bin/app': { link: 'app' } })).toBe('command_missing');
    const hooks = { before: { command: ['bin/no'], timeoutSeconds: 1 } };
    expect(await refusalOf(() => archiveOf({}, { hooks }))).toBe('command_missing');
  });
});
