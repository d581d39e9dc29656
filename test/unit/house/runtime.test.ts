import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { expect, test } from 'vitest';

const REPOSITORY = join(import.meta.dirname, '../../..');

interface Manifest {
  readonly scripts: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as Manifest;

test('npm scripts run on the Node that the project brings along, whatever the machine has', () => {
  const outside = (process.env['PATH'] ?? '')
    .split(delimiter)
    .filter((directory) => !directory.includes('node_modules'));
  const version = execFileSync('npm', ['exec', '--offline', '--call', 'node --version'], {
    cwd: REPOSITORY,
    env: { ...process.env, PATH: outside.join(delimiter) },
    encoding: 'utf8',
  });
  const pinned = new Set(Object.values(manifest.optionalDependencies));
  expect([`v${[...pinned].join()}`]).toEqual([version.trim()]);
});

test('the tests themselves run on it', () => {
  expect(Object.values(manifest.optionalDependencies)).toContain(process.versions.node);
});

test('check runs every check there is', () => {
  const checks = Object.keys(manifest.scripts).filter((name) => name.startsWith('check:'));
  const run = manifest.scripts['check']?.split(' && ').map((step) => step.replace('npm run ', ''));
  expect(run?.toSorted()).toEqual(checks.toSorted());
});
