import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

const TEMPORARY = './test/harness/temporary.ts';
const SYSTEM = './test/harness/system.ts';
const DATABASES = './test/harness/database-servers.ts';
const MACHINE = './test/harness/vm/setup.ts';
/** Tests start hundreds of programs from their sources: Node compiles each file once for all of them. */
const COMPILED = join(import.meta.dirname, 'node_modules/.cache/compiled');

/** One row a kind of test: what is in it, how long one test may take, and what must be there before it starts. */
const KINDS = {
  unit: { testTimeout: 20_000, parallel: true, globalSetup: [] },
  integration: { testTimeout: 120_000, parallel: true, globalSetup: [SYSTEM, DATABASES] },
  scenarios: { testTimeout: 240_000, parallel: true, globalSetup: [SYSTEM] },
  vm: { testTimeout: 600_000, parallel: false, globalSetup: [MACHINE] },
  chaos: { testTimeout: 300_000, parallel: false, globalSetup: [SYSTEM] },
} as const;

const projects = Object.entries(KINDS).map(([name, { testTimeout, parallel, globalSetup }], groupOrder) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    testTimeout,
    hookTimeout: Math.max(60_000, testTimeout),
    // Other processes are waited for, on machines that are busy: one second, as is the default, is no bound for them.
    expect: { poll: { timeout: 15_000 } },
    globalSetup: [TEMPORARY, ...globalSetup],
    env: { NODE_COMPILE_CACHE: COMPILED },
    // Brokers and databases are processes of their own: two files at once keep two processors busy.
    maxWorkers: parallel ? 2 : 1,
    // One kind after the other, quickest first.
    sequence: { groupOrder },
  },
}));

export default defineConfig({
  test: { projects, reporters: ['default', './test/harness/closing-line.ts'] },
});
