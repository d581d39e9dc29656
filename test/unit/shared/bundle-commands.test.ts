import { checkCommandPaths, missingPrograms } from '@paddock/shared/bundle-commands.ts';
import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import { describe, expect, it } from 'vitest';

const SHA = 'ab'.repeat(32);
const file = (path: string, mode: '644' | '755'): IndexEntry => ({ path, mode, size: 5, sha256: SHA });
const ENTRIES: readonly IndexEntry[] = [
  file('bin/app', '755'),
  file('bin/text', '644'),
  { path: 'bin/link', link: '../bin/./app' },
  { path: 'bin/loop', link: 'loop' },
  { path: 'bin/none', directory: true },
];
const health = { withinSeconds: 60, settleSeconds: 1, sensors: true };
const base: Manifest = {
  v: 1,
  name: 'kiosk-app',
  version: '1.0.0',
  counter: 1,
  models: ['demo-cp22'],
  index: { sha256: SHA, bytes: 1 },
  sbom: { sha256: SHA, bytes: 1 },
  files: 1,
  bytes: 5,
  health,
};
/** A manifest that names a program in each place where one can stand. */
const places = (program: string): Record<string, Manifest> => {
  const command = [program, '/an/argument/may/be/anything'];
  return {
    run: { ...base, run: { command } },
    'hooks.before': { ...base, hooks: { before: { command, timeoutSeconds: 1 } } },
    'hooks.after': { ...base, hooks: { after: { command, timeoutSeconds: 1 } } },
    'health.probe': { ...base, health: { ...health, probe: { command, timeoutSeconds: 1 } } },
  };
};
const refusal = (manifest: Manifest): unknown => {
  try {
    checkCommandPaths(manifest);
    return null;
  } catch (error) {
    return error instanceof BundleError ? [error.code, error.message] : error;
  }
};

describe('a command of a manifest', () => {
  it.each(['/bin/sh', '../../bin/sh', 'bin/../../sh', './bin/app', 'bin//app', 'bin/', '.paddock/x', 'bin/\u0007'])(
    'is refused by its name alone: %j',
    (program) => {
      for (const [place, manifest] of Object.entries(places(program)))
        expect(refusal(manifest)).toEqual(['manifest_command', expect.stringContaining(`${place}.command`)]);
    },
  );

  it.each(['bin/app', 'bin/none-that-is-there', 'node', 'sh', '..'])('may by its name alone be %j', (program) => {
    for (const manifest of Object.values(places(program))) expect(refusal(manifest)).toBeNull();
  });

  it('is held against the index: a file that its owner may run, or a link to one', () => {
    const missing = (program: string): string[] =>
      Object.values(places(program)).flatMap((manifest) =>
        missingPrograms(manifest, ENTRIES).map(({ path }) => path.join('.')),
      );
    const everywhere = Object.keys(places(''));
    expect(['bin/app', 'bin/link', 'node'].map(missing)).toEqual([[], [], []]);
    for (const program of ['bin/text', 'bin/loop', 'bin/none', 'bin/other', '/bin/app', '../bin/app', './bin/app'])
      expect([program, missing(program)]).toEqual([program, everywhere]);
  });
});
