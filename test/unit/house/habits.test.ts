import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOTS } from '../../../fences.config.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');

/** What no line of ours may contain, with a line that does. */
const FORBIDDEN_IN_LINES = [
  {
    why: 'a cast through unknown hides what the parser should have narrowed',
    pattern: /\bas unknown as\b/,
    planted: 'value as unknown as Report',
  },
  {
    why: 'the compiler is not to be silenced',
    pattern: /@ts-(ignore|nocheck|expect-error)/,
    planted: '// @ts-ignore',
  },
  {
    why: 'the linter is not to be silenced',
    pattern: /\b(oxlint|eslint)-disable/,
    planted: '// oxlint-disable-next-line',
  },
  {
    why: 'what is to be done stands in an issue, not in the code',
    pattern: /\b(TODO|FIXME|XXX|HACK)\b/,
    planted: '// TODO: later',
  },
  {
    why: 'a test is there or it is not',
    pattern: /\b(test|it|describe)\.(skip|only|todo|fails)\b/,
    planted: 'test.skip(',
  },
  { why: 'a barrel hides who needs what', pattern: /^\s*export \*/, planted: "export * from './report.ts';" },
] as const;

const JUNK_DRAWERS = /^(utils?|helpers?|common|lib|misc|stuff|index)$/;

/** The tests of the house plant violations themselves. */
const PLANTED = 'test/unit/house/';

const sources = ROOTS.flatMap((root) => globSync(`${root}/**/*.{ts,cjs}`, { cwd: REPOSITORY })).filter(
  (file) => !file.startsWith(PLANTED),
);

const linesOf = (file: string): string[] => readFileSync(join(REPOSITORY, file), 'utf8').split('\n');

test('there are sources to read', () => {
  expect(sources).toContain('agent/src/ports.ts');
  expect(sources.length).toBeGreaterThan(50);
});

test.each(FORBIDDEN_IN_LINES)('no line of ours: $why', ({ pattern, planted }) => {
  expect(planted).toMatch(pattern);
  const found = sources.flatMap((file) =>
    linesOf(file).flatMap((line, index) => (pattern.test(line) ? [`${file}:${index + 1}`] : [])),
  );
  expect(found).toEqual([]);
});

test('there is no junk drawer', () => {
  expect('helpers').toMatch(JUNK_DRAWERS);
  const parts = (file: string): string[] => [...file.split('/').slice(0, -1), basename(file).replace(/[.].*$/, '')];
  expect(sources.filter((file) => parts(file).some((part) => JUNK_DRAWERS.test(part)))).toEqual([]);
});
