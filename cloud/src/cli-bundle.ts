import type { Command } from 'commander';
import { isFile, isLink, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { BundleInspection } from './bundle-run.ts';
import { print, sub, type Options } from './cli-command.ts';
import { sheet, table, type Column } from './terminal/table.ts';
import type { PathChange } from './bundles/diff.ts';

const CHANGE_COLUMNS: readonly Column<PathChange>[] = [
  { heading: 'CHANGE', show: ({ change }) => change },
  { heading: 'BEFORE', show: ({ before }) => before },
  { heading: 'AFTER', show: ({ after }) => after },
  { heading: 'PATH', show: ({ path }) => path },
];

const ENTRY_COLUMNS: readonly Column<IndexEntry>[] = [
  { heading: 'MODE', show: (entry) => (isFile(entry) ? entry.mode : null) },
  { heading: 'BYTES', show: (entry) => (isFile(entry) ? entry.size : null) },
  { heading: 'PATH', show: (entry) => (isLink(entry) ? `${entry.path} -> ${entry.link}` : entry.path) },
];

/** `paddock bundle`: works on files, without the service. */
export function addBundle(root: Command): void {
  const bundle = root.command('bundle').description('build, inspect and compare firmware bundles');

  const build = sub(bundle, 'build <directory>', 'build the bundle of the recipe in a directory', [
    'bundle build firmware-bundles/kiosk-app/1.1.0',
    'bundle build firmware-bundles/kiosk-app/1.1.0 --out /tmp/kiosk-app.bundle',
  ]).option('--out <file>', 'where to write it (by default {name}-{counter}.bundle); what is there is replaced');
  build.action(async (directory: string) => {
    const { out } = build.optsWithGlobals<Options>();
    const { buildBundle } = await import('./bundle-run.ts');
    const built = await buildBundle(directory, typeof out === 'string' ? out : undefined);
    print(build, built, () => sheet({ ...built }));
  });

  const inspect = sub(bundle, 'inspect <file>', 'read all of a bundle, check all of it, and say what is in it', [
    'bundle inspect kiosk-app-2.bundle',
    'bundle inspect kiosk-app-2.bundle --json',
  ]);
  inspect.action(async (file: string) => {
    const { inspectBundle } = await import('./bundle-run.ts');
    const inspected = await inspectBundle(file);
    print(inspect, inspected, () => inspectionSheet(inspected));
  });

  const diff = sub(bundle, 'diff <from> <to>', 'what differs in two bundles, and what a device would fetch', [
    'bundle diff kiosk-app-1.bundle kiosk-app-2.bundle',
  ]);
  diff.action(async (from: string, to: string) => {
    const { diffBundles } = await import('./bundle-run.ts');
    const difference = await diffBundles(from, to);
    const { changes, ...sizes } = difference;
    print(diff, difference, () => [table(changes, CHANGE_COLUMNS), sheet(sizes)].join('\n\n'));
  });
}

function inspectionSheet({ sha256, bundleBytes, manifest, entries }: BundleInspection): string {
  const { name, version, counter, models, fromCounter, run, hooks, health, files, bytes } = manifest;
  return [
    sheet({
      name,
      version,
      counter,
      sha256,
      models: models.join(', '),
      fromCounter,
      run: run?.command.join(' '),
      hooks,
      health,
      files,
      bytes,
      bundleBytes,
    }),
    table(entries, ENTRY_COLUMNS),
  ].join('\n\n');
}
