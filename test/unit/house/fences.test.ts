import { globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ADAPTER_LIBRARIES,
  adapterPath,
  ARROWS,
  arrowFence,
  FENCES,
  type FixedFence,
  adapterLibraryFence,
  ROOM_LIBRARIES,
  roomLibraryFence,
  roomPath,
  ROOTS,
} from '../../../fences.config.ts';
import { blindSpots, survey, type Survey } from '../../harness/fences.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');

/** A file with one import that one rule forbids, and where that import leads. */
interface Plant {
  readonly file: string;
  readonly imports: string;
  readonly leadsTo: string;
}

const plant = (file: string, imports: string, leadsTo: string): Plant => ({ file, imports, leadsTo });
const VENDOR = 'node_modules/vendor/index.js';

/** One planted violation of each rule. The type asks for a plant as soon as a rule is written. */
const PLANTED_FIXED: Record<FixedFence, Plant> = {
  'shared-imports-no-program': plant('shared/src/a.ts', '@paddock/agent/ports.ts', 'agent/src/ports.ts'),
  'shared-imports-pure-libraries-only': plant('shared/src/b.ts', 'vendor', VENDOR),
  'shared-imports-nothing-of-node': plant('shared/src/c.ts', 'node:zlib', 'zlib'),
  'agent-never-imports-cloud': plant('agent/src/main.ts', '@paddock/cloud/ports.ts', 'cloud/src/ports.ts'),
  'cloud-never-imports-agent': plant('cloud/src/main.ts', '@paddock/agent/ports.ts', 'agent/src/ports.ts'),
  'nothing-imports-demo': plant('cloud/src/cli.ts', '@paddock/demo/kiosk.ts', 'demo/src/kiosk.ts'),
  'nothing-imports-test': plant('demo/src/a.ts', '../../test/harness/fake.ts', 'test/harness/fake.ts'),
  'feature-imports-no-other-feature': plant('agent/src/lone/a.ts', '../other/b.ts', 'agent/src/other/b.ts'),
  'room-imports-no-adapter': plant('cloud/src/lone/a.ts', '../adapters/good.ts', 'cloud/src/adapters/good.ts'),
  'room-imports-no-program-file': plant('cloud/src/lone/b.ts', '../config.ts', 'cloud/src/config.ts'),
  'room-does-no-io': plant('agent/src/lone/b.ts', 'node:fs/promises', 'fs/promises'),
  'room-imports-pure-libraries-only': plant('agent/src/lone/c.ts', 'vendor', VENDOR),
  'adapter-imports-no-decision': plant('agent/src/adapters/a.ts', '../other/b.ts', 'agent/src/other/b.ts'),
  'adapter-imports-no-other-adapter': plant('cloud/src/adapters/b.ts', './good.ts', 'cloud/src/adapters/good.ts'),
  'adapter-without-library': plant('cloud/src/adapters/c.ts', 'vendor', VENDOR),
  'ports-import-shared-only': plant('agent/src/ports.ts', './other/b.ts', 'agent/src/other/b.ts'),
  'no-cycles': plant('cloud/src/loop/a.ts', './b.ts', 'cloud/src/loop/b.ts'),
  'every-import-resolves': plant('demo/src/b.ts', './nowhere.ts', './nowhere.ts'),
};

const inRoom = (room: string, file: string): string => `${room.replace('/', '/src/')}/${file}`;
const adapterFile = (adapter: string): string => `${adapter.replace('/', '/src/adapters/')}.ts`;

function plantArrow(room: string): [rule: string, Plant] {
  const target = `${dirname(room)}/src/other/b.ts`;
  return [arrowFence(room), plant(inRoom(room, 'planted.ts'), '../other/b.ts', target)];
}

const PLANTED: ReadonlyMap<string, Plant> = new Map([
  ...Object.entries(PLANTED_FIXED),
  ...Object.keys(ARROWS).map(plantArrow),
  ...Object.keys(ROOM_LIBRARIES).map((room): [string, Plant] => [
    roomLibraryFence(room),
    plant(inRoom(room, 'planted-library.ts'), 'vendor', VENDOR),
  ]),
  ...Object.keys(ADAPTER_LIBRARIES).map((adapter): [string, Plant] => [
    adapterLibraryFence(adapter),
    plant(adapterFile(adapter), 'vendor', VENDOR),
  ]),
]);

/** Imports that every rule allows, so that no rule is content by forbidding everything. */
const ALLOWED: readonly (readonly [file: string, ...imports: string[]])[] = [
  ['shared/src/wire.ts', 'jose', 'typebox'],
  ['agent/src/other/b.ts', '@paddock/shared/wire.ts', 'node:crypto'],
  ['agent/src/other/c.ts', './b.ts', '../ports.ts', 'typebox'],
  ['cloud/src/ports.ts', '@paddock/shared/wire.ts'],
  ['cloud/src/other/b.ts', '../ports.ts'],
  ['cloud/src/http/app.ts', '../other/b.ts', '../ports.ts', 'fastify', '@fastify/swagger'],
  ['cloud/src/adapters/good.ts', '../ports.ts', './good-part.ts', './good/part.ts', 'node:fs'],
  ['cloud/src/adapters/good-part.ts', 'node:net'],
  ['cloud/src/adapters/good/part.ts', './other-part.ts', '../../ports.ts'],
  ['cloud/src/adapters/good/other-part.ts', '@paddock/shared/wire.ts'],
  ['cloud/src/config.ts', 'node:fs'],
  ['cloud/src/loop/b.ts', './c.ts'],
  ['demo/src/kiosk.ts', '@paddock/agent/other/b.ts', '@paddock/cloud/ports.ts', 'vendor'],
  ['test/harness/fake.ts', '@paddock/demo/kiosk.ts', 'vendor'],
  ...Object.entries(ARROWS).map(([room, known]): [string, ...string[]] => [
    inRoom(room, 'allowed.ts'),
    ...known.map((feature) => `../${feature}/arrow.ts`),
  ]),
];

const LIBRARIES = ['vendor', 'jose', 'typebox', 'fastify', '@fastify/swagger'];

function write(root: string, path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** Type-only, because an import that vanishes before it runs must be fenced as well. */
const importing = (specifiers: readonly string[]): string =>
  [...specifiers.map((specifier) => `import type {} from '${specifier}';`), 'export {};', ''].join('\n');

function layLibrary(root: string, name: string): void {
  write(root, `node_modules/${name}/package.json`, JSON.stringify({ name, version: '1.0.0', main: 'index.js' }));
  write(root, `node_modules/${name}/index.js`, '');
}

function layWorkspace(root: string, name: string): void {
  const manifest = { name: `@paddock/${name}`, type: 'module', exports: { './*.ts': './src/*.ts' } };
  write(root, `${name}/package.json`, JSON.stringify(manifest));
  mkdirSync(join(root, 'node_modules/@paddock'), { recursive: true });
  symlinkSync(join(root, name), join(root, 'node_modules/@paddock', name));
}

function layPlantedTree(root: string): void {
  write(root, 'package.json', JSON.stringify({ name: 'planted', type: 'module', workspaces: ['*'] }));
  for (const name of LIBRARIES) layLibrary(root, name);
  for (const name of ['shared', 'agent', 'cloud', 'demo']) layWorkspace(root, name);
  for (const [room, known] of Object.entries(ARROWS))
    for (const feature of known) write(root, inRoom(`${dirname(room)}/${feature}`, 'arrow.ts'), importing([]));
  for (const [file, ...imports] of ALLOWED) write(root, file, importing(imports));
  for (const { file, imports } of PLANTED.values()) write(root, file, importing([imports]));
  write(root, 'cloud/src/loop/c.ts', importing(['./a.ts']));
}

describe('the fences', () => {
  let root: string;
  let planted: Survey;

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), 'paddock-fences-'));
    layPlantedTree(root);
    planted = await survey(root);
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test('have a planted violation each', () => {
    expect([...PLANTED.keys()].toSorted()).toEqual(FENCES.map(({ name }) => name).toSorted());
  });

  test.each([...PLANTED])('%s catches its violation, and no other rule does', (rule, { file, leadsTo }) => {
    const caught = planted.trespasses.filter(({ from, to }) => from === file && to === leadsTo);
    expect(caught).toEqual([{ rule, from: file, to: leadsTo }]);
  });

  test('forbid nothing that is allowed', () => {
    const files = new Set(ALLOWED.map(([file]) => file));
    const wrong = planted.trespasses.filter(({ from, rule }) => files.has(from) && rule !== 'no-cycles');
    expect(wrong).toEqual([]);
  });

  test('see every file and every import of the planted tree', () => {
    expect(blindSpots(root, planted)).toEqual([]);
  });

  test('complain when nothing was read', () => {
    const nothing: Survey = { modules: [], trespasses: [] };
    expect(blindSpots(root, nothing)).toContain('agent/src/ports.ts was not read');
    expect(blindSpots(join(root, 'node_modules'), nothing)).toEqual(['no source file was found']);
  });

  test('complain when a file was read and its imports were not', () => {
    const deaf = { ...planted, modules: planted.modules.map((module) => ({ ...module, imports: [] })) };
    expect(blindSpots(root, deaf)).toContain('agent/src/ports.ts: its imports were not read');
  });
});

describe('the tables of the fences', () => {
  let house: Survey;

  beforeAll(async () => {
    house = await survey(REPOSITORY);
  });

  test('name no library that its room or adapter does not use', () => {
    const uses = (from: RegExp, library: string): boolean =>
      house.modules.some(
        ({ source, imports }) =>
          from.test(source) && imports.some((target) => new RegExp(`node_modules/${library}(/|$)`).test(target)),
      );
    const rows = [
      ...Object.entries(ADAPTER_LIBRARIES).map(([adapter, known]) => [adapterPath(adapter), known] as const),
      ...Object.entries(ROOM_LIBRARIES).map(([room, known]) => [roomPath(room), known] as const),
    ];
    const unused = rows.flatMap(([from, known]) => known.filter((library) => !uses(new RegExp(from), library)));
    expect(unused).toEqual([]);
  });

  test('draw no arrow that nobody goes', () => {
    const goes = (room: string, feature: string): boolean =>
      house.modules.some(
        ({ source, imports }) =>
          source.startsWith(inRoom(room, '')) &&
          imports.some((target) => target.startsWith(inRoom(`${dirname(room)}/${feature}`, ''))),
      );
    const arrows = Object.entries(ARROWS).flatMap(([room, known]) => known.map((feature) => [room, feature] as const));
    expect(arrows.filter(([room, feature]) => !goes(room, feature))).toEqual([]);
  });

  test('cover every workspace', () => {
    const workspaces = globSync('*/package.json', { cwd: REPOSITORY }).map((manifest) => `${dirname(manifest)}/src`);
    expect(workspaces.filter((source) => !ROOTS.some((root) => root === source))).toEqual([]);
  });
});
