import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const REPOSITORY = join(import.meta.dirname, '../../..');

/** What no feature may reach for, and a line that does. */
const FORBIDDEN_IN_FEATURES = {
  Date: 'export const value = Date.now();',
  performance: 'export const value = performance.now();',
  setTimeout: 'setTimeout(() => undefined, 1);',
  setInterval: 'setInterval(() => undefined, 1);',
  setImmediate: 'setImmediate(() => undefined);',
  clearTimeout: 'clearTimeout(1);',
  clearInterval: 'clearInterval(1);',
  process: 'export const value = process.env;',
  globalThis: 'export const value = globalThis.performance;',
  fetch: "export const value = fetch('http://localhost');",
} as const satisfies Record<string, string>;

/** What no code of ours may do, by the rule that says so. */
const FORBIDDEN_EVERYWHERE = {
  'typescript(no-explicit-any)': 'export const value: any = 1;',
  'typescript(no-floating-promises)': 'Promise.resolve(1);',
  'typescript(no-misused-promises)': 'export const value = [1].filter(async () => Promise.resolve(true));',
  'typescript(no-non-null-assertion)': 'export const value = (text?: string) => text!.length;',
  'typescript(consistent-type-imports)': "import { Stats } from 'node:fs'; export type Value = Stats;",
  'typescript(no-unsafe-member-access)': "export const value = JSON.parse('1').length as number;",
  'typescript(ban-ts-comment)': '// @ts-ignore\nexport const value = 1;',
  'eslint(eqeqeq)': 'export const value = (a: number) => a == 1;',
  'eslint(no-unused-vars)': 'const value = 1;',
  'eslint(max-lines)': `export const value = 1;${'\n'.repeat(400)}`,
} as const satisfies Record<string, string>;

/** Where a clock may be read: the files that hand it to the others. */
const EXEMPT = [
  'agent/src/adapters/exempt.ts',
  'cloud/src/adapters/exempt.ts',
  'agent/src/main.ts',
  'agent/src/cli.ts',
  'agent/src/config.ts',
  'cloud/src/main.ts',
  'cloud/src/cli.ts',
  'cloud/src/config.ts',
  'shared/src/time.ts',
  'demo/src/exempt.ts',
  'test/harness/exempt.ts',
];

const ROOMS = ['agent/src/sense', 'cloud/src/ingest', 'cloud/src/http', 'shared/src'];

interface Finding {
  readonly file: string;
  readonly code: string;
  readonly message: string;
}

function lint(root: string): Promise<Finding[]> {
  const program = join(REPOSITORY, 'node_modules/.bin/oxlint');
  return new Promise((resolve, reject) => {
    // It ends with a failure whenever it finds something: what it says is what counts.
    execFile(program, ['--format', 'json'], { cwd: root, maxBuffer: 64 * 1024 * 1024 }, (_failure, stdout, stderr) => {
      try {
        resolve(findingsOf(stdout));
      } catch (cause) {
        reject(new Error(`oxlint said: ${stdout}${stderr}`, { cause }));
      }
    });
  });
}

function findingsOf(json: string): Finding[] {
  const { diagnostics } = JSON.parse(json) as { diagnostics: { filename: string; code: string; message: string }[] };
  return diagnostics.map(({ filename, code, message }) => ({ file: filename, code, message }));
}

describe('the linter', () => {
  let root: string;
  let findings: Finding[];

  const write = (path: string, text: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  };

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'paddock-lint-'));
    for (const file of ['.oxlintrc.json', 'tsconfig.json', 'package.json'])
      cpSync(join(REPOSITORY, file), join(root, file));
    symlinkSync(join(REPOSITORY, 'node_modules'), join(root, 'node_modules'));
    for (const room of ROOMS)
      for (const [name, line] of Object.entries(FORBIDDEN_IN_FEATURES)) write(`${room}/${name.toLowerCase()}.ts`, line);
    Object.values(FORBIDDEN_EVERYWHERE).forEach((line, index) => write(`agent/src/report/planted-${index}.ts`, line));
    for (const file of EXEMPT)
      write(file, Object.values(FORBIDDEN_IN_FEATURES).join('\n').replaceAll('export const value =', 'void'));
    findings = await lint(root);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test.each(ROOMS.flatMap((room) => Object.keys(FORBIDDEN_IN_FEATURES).map((name) => [room, name] as const)))(
    'refuses in %s the use of %s',
    (room, name) => {
      const found = findings.filter(({ file }) => file === `${room}/${name.toLowerCase()}.ts`);
      const restricted = found.filter(({ code }) => code === 'eslint(no-restricted-globals)');
      expect(restricted.map(({ message }) => message)).toEqual([expect.stringContaining(`'${name}'`)]);
    },
  );

  test.each(Object.keys(FORBIDDEN_EVERYWHERE).map((code, index) => [code, index] as const))(
    'finds its planted violation of %s',
    (code, index) => {
      const found = findings.filter(({ file }) => file === `agent/src/report/planted-${index}.ts`);
      expect(found.map((finding) => finding.code)).toContain(code);
    },
  );

  test.each(EXEMPT)('lets %s read clocks and set timers', (file) => {
    const found = findings.filter(
      (finding) => finding.file === file && finding.code === 'eslint(no-restricted-globals)',
    );
    expect(found).toEqual([]);
  });
});
