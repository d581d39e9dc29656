import { BundleError } from './bundle-error.ts';
import { isFile, isLink, type IndexEntry } from './bundle-index.ts';
import { checkPath, parentOf } from './bundle-path.ts';
import type { Manifest } from './manifest.ts';

/** A program that a manifest names: where it does, and what comes first in the command. */
export interface NamedProgram {
  readonly path: readonly string[];
  readonly program: string;
}

/** A name without `/` is a program of the machine; every other is a path in the slot. */
function programsIn({ run, hooks, health }: Pick<Manifest, 'run' | 'hooks' | 'health'>): NamedProgram[] {
  const commands = [
    [['run'], run],
    [['hooks', 'before'], hooks?.before],
    [['hooks', 'after'], hooks?.after],
    [['health', 'probe'], health.probe],
  ] as const;
  return commands.flatMap(([path, given]): NamedProgram[] => {
    const program = given?.command[0];
    return program?.includes('/') === true ? [{ path, program }] : [];
  });
}

/** Paths that are no program of the payload: nothing is there, or nothing that its owner may run. */
export function missingPrograms(
  commands: Pick<Manifest, 'run' | 'hooks' | 'health'>,
  entries: readonly IndexEntry[],
): NamedProgram[] {
  const byPath = new Map(entries.map((entry) => [entry.path, entry]));
  return programsIn(commands).filter(({ program }) => !isProgram(program, byPath));
}

/**
 * By names alone, before the index is there: no command leads out of the slot.
 * @throws BundleError `manifest_command`
 */
export function checkCommandPaths(manifest: Manifest): void {
  for (const { path, program } of programsIn(manifest)) {
    try {
      checkPath(program);
    } catch (cause) {
      throw commandMissing({ path, program }, { cause });
    }
  }
}

export const commandMissing = ({ path, program }: NamedProgram, options?: ErrorOptions): BundleError =>
  new BundleError('manifest_command', `${path.join('.')}.command ${JSON.stringify(program.slice(0, 200))}`, options);

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
