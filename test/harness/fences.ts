import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { FENCES, ROOTS } from '../../fences.config.ts';

/** One import that a rule forbids. */
export interface Trespass {
  readonly rule: string;
  readonly from: string;
  readonly to: string;
}

export interface Survey {
  readonly modules: readonly { readonly source: string; readonly imports: readonly string[] }[];
  readonly trespasses: readonly Trespass[];
}

/** Reads every import under a directory that is laid out like this repository, and holds it against the fences. */
export async function survey(baseDir: string): Promise<Survey> {
  const { output } = await cruise(
    ROOTS.filter((root) => existsSync(join(baseDir, root))),
    {
      baseDir,
      validate: true,
      ruleSet: { forbidden: FENCES.map((fence) => ({ ...fence })) },
      doNotFollow: { path: 'node_modules' },
      tsPreCompilationDeps: true,
    },
    { exportsFields: ['exports'], conditionNames: ['import', 'types', 'node', 'default'], bustTheCache: true },
  );
  if (typeof output === 'string') throw new Error('dependency-cruiser answered with a text');
  return { modules: modulesOf(output), trespasses: trespassesOf(output) };
}

const modulesOf = ({ modules }: ICruiseResult): Survey['modules'] =>
  modules.map(({ source, dependencies }) => ({ source, imports: dependencies.map(({ resolved }) => resolved) }));

const trespassesOf = ({ summary }: ICruiseResult): Trespass[] =>
  summary.violations.map(({ rule, from, to }) => ({ rule: rule.name, from, to }));

/**
 * What the survey did not see although it is there. A fence that is misconfigured sees nothing and
 * is content: so every source file must be in the survey, and every file that imports must have imports.
 */
export function blindSpots(baseDir: string, { modules }: Survey): string[] {
  const seen = new Map(modules.map(({ source, imports }) => [source, imports.length]));
  const files = ROOTS.flatMap((root) => globSync(`${root}/**/*.ts`, { cwd: baseDir }));
  const unseen = files.filter((file) => !seen.has(file)).map((file) => `${file} was not read`);
  const unread = files
    .filter((file) => seen.get(file) === 0 && importsSomething(join(baseDir, file)))
    .map((file) => `${file}: its imports were not read`);
  return files.length === 0 ? ['no source file was found'] : [...unseen, ...unread];
}

const importsSomething = (path: string): boolean => /^(import|export)\b[^;]*\bfrom '/m.test(readFileSync(path, 'utf8'));

async function main(): Promise<void> {
  const baseDir = join(import.meta.dirname, '../..');
  const result = await survey(baseDir);
  const complaints = [
    ...blindSpots(baseDir, result),
    ...result.trespasses.map(({ rule, from, to }) => `${rule}: ${from} -> ${to}`),
  ];
  for (const complaint of complaints) console.error(complaint);
  const edges = result.modules.reduce((sum, { imports }) => sum + imports.length, 0);
  console.log(`fences: ${result.modules.length} modules, ${edges} imports, ${complaints.length} complaints`);
  process.exitCode = complaints.length > 0 ? 1 : 0;
}

if (import.meta.main) await main();
