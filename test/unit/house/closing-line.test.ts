import type { TestModule } from 'vitest/node';
import { expect, test } from 'vitest';
import { closingLine, tally } from '../../harness/closing-line.ts';

type State = 'passed' | 'failed' | 'skipped' | 'pending';

/** The little of a vitest module that is counted: states of its tests, and errors of the file and of its suites. */
function moduleOf(states: readonly State[], fileErrors = 0, suiteErrors: readonly number[] = []): TestModule {
  const module: unknown = {
    errors: () => Array.from({ length: fileErrors }, () => new Error('does not load')),
    children: {
      allTests: () => states.map((state) => ({ result: () => ({ state }) })),
      allSuites: () =>
        suiteErrors.map((count) => ({ errors: () => Array.from({ length: count }, () => new Error('hook')) })),
    },
  };
  return module as TestModule;
}

test('counts tests over all files', () => {
  const modules = [moduleOf(['passed', 'failed']), moduleOf(['passed', 'skipped', 'pending'])];
  expect(tally(modules, [])).toEqual({ passed: 2, failed: 1, skipped: 2 });
});

test('counts a file that does not load, a suite whose hook throws and an error that nobody caught as failed', () => {
  expect(tally([moduleOf([], 2)], [])).toEqual({ passed: 0, failed: 1, skipped: 0 });
  expect(tally([moduleOf(['passed'], 0, [0, 1])], [])).toEqual({ passed: 1, failed: 1, skipped: 0 });
  expect(tally([moduleOf(['passed'])], [new Error('nobody caught it')])).toEqual({ passed: 1, failed: 1, skipped: 0 });
});

test('says skipped only when something was', () => {
  expect(closingLine({ passed: 3, failed: 0, skipped: 0 }, 0)).toBe('3 passed, 0 failed');
  expect(closingLine({ passed: 3, failed: 1, skipped: 2 }, 1)).toBe('3 passed, 1 failed, 2 skipped');
});

test('never says that nothing failed when the run did', () => {
  expect(closingLine({ passed: 0, failed: 0, skipped: 0 }, 1)).toBe('0 passed, 1 failed');
});
