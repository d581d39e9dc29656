import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { Ajv, type ValidateFunction } from 'ajv';
import formats from 'ajv-formats';
import { describe, expect, it } from 'vitest';
import { bundleOf, type Tree } from '../../../harness/bundles.ts';

const packageJson = (name: string, version: string, more: object = {}): string =>
  JSON.stringify({ name, version, ...more });
const SHA512 = 'ab'.repeat(64);
const INTEGRITY = `sha512-${Buffer.from(SHA512, 'hex').toString('base64')}`;

const TREE: Tree = {
  'package.json': packageJson('kiosk-app', '1.0.0'),
  'node_modules/.package-lock.json': JSON.stringify({
    packages: { 'node_modules/left-pad': { version: '1.3.0', integrity: INTEGRITY }, 'node_modules/absent': {} },
  }),
  'node_modules/left-pad/package.json': packageJson('left-pad', '1.3.0', { license: 'WTFPL' }),
  'node_modules/@scope/tool/package.json': packageJson('@scope/tool', '2.0.0-rc.1+5', { license: { type: 'MIT' } }),
  'node_modules/@scope/tool/node_modules/left-pad/package.json': packageJson('left-pad', '1.1.0'),
  'lib/node_modules/left-pad/package.json': packageJson('left-pad', '1.3.0'),
  // None of these is a package.
  'node_modules/left-pad/dist/esm/package.json': '{"type":"module"}',
  'node_modules/left-pad/test/fixture/package.json': packageJson('fixture', '0.0.1'),
  'node_modules/broken/package.json': '{"name": "broken", ',
  'node_modules/odd/package.json': packageJson('Odd Name?', 'latest'),
};

interface Component {
  readonly type: string;
  readonly name: string;
  readonly version: string;
  readonly 'bom-ref': string;
  readonly purl?: string;
  readonly hashes?: readonly { readonly alg: string; readonly content: string }[];
  readonly licenses?: readonly { readonly license: { readonly name: string } }[];
  readonly evidence?: { readonly occurrences: readonly { readonly location: string }[] };
}
interface Sbom {
  readonly bomFormat: string;
  readonly specVersion: string;
  readonly version: number;
  readonly metadata: { readonly component: Component };
  readonly components: readonly Component[];
  readonly compositions: readonly { readonly aggregate: string; readonly assemblies: readonly string[] }[];
}

const require = createRequire(import.meta.url);
const SCHEMAS = join(dirname(require.resolve('@cyclonedx/cyclonedx-library/package.json')), 'res/schema');
const schemaAt = (file: string): object => JSON.parse(readFileSync(join(SCHEMAS, file), 'utf8')) as object;
/** What the schema refers to, by names that are relative to its own. */
const REFERRED = ['spdx.SNAPSHOT.schema.json', 'jsf-0.82.SNAPSHOT.schema.json'];

/** The standard's own schema, with those that it refers to. */
function cycloneDx16(): ValidateFunction {
  const ajv = new Ajv({ strict: false });
  formats.default(ajv);
  // Nobody checks these two here: no field that is written has them.
  ajv.addFormat('idn-email', true).addFormat('iri-reference', true);
  for (const file of REFERRED) ajv.addSchema(schemaAt(file), `http://cyclonedx.org/schema/${file}`);
  return ajv.compile(schemaAt('bom-1.6.SNAPSHOT.schema.json'));
}

const sbomOf = async (tree: Tree): Promise<Sbom> =>
  JSON.parse(Buffer.from((await bundleOf(tree)).sbomBytes).toString('utf8')) as Sbom;

describe('the SBOM of a bundle', () => {
  it('names the bundle and every npm package of its payload, once a version', async () => {
    const { metadata, components } = await sbomOf(TREE);
    expect(metadata.component).toMatchObject({ type: 'firmware', name: 'kiosk-app', version: '1.0.0' });
    expect(components.map(({ type, purl }) => [type, purl])).toEqual([
      ['library', 'pkg:npm/%40scope/tool@2.0.0-rc.1%2B5'],
      ['application', 'pkg:npm/kiosk-app@1.0.0'],
      ['library', 'pkg:npm/left-pad@1.1.0'],
      ['library', 'pkg:npm/left-pad@1.3.0'],
    ]);
    expect(components[3]).toEqual({
      type: 'library',
      'bom-ref': 'pkg:npm/left-pad@1.3.0',
      name: 'left-pad',
      version: '1.3.0',
      hashes: [{ alg: 'SHA-512', content: SHA512 }],
      licenses: [{ license: { name: 'WTFPL' } }],
      purl: 'pkg:npm/left-pad@1.3.0',
      evidence: {
        occurrences: [
          { location: 'lib/node_modules/left-pad/package.json' },
          { location: 'node_modules/left-pad/package.json' },
        ],
      },
    });
    expect(components[0]).toMatchObject({ group: '@scope', name: 'tool' });
    expect(components[2]).not.toHaveProperty('hashes');
  });

  it('keeps the schema of CycloneDX 1.6, and its rules of references', async () => {
    const check = cycloneDx16();
    for (const tree of [TREE, {}]) {
      const sbom = await sbomOf(tree);
      expect([check(sbom), check.errors]).toEqual([true, null]);
      expect(sbom.specVersion).toBe('1.6');
      // What a schema cannot say: references are there once, and lead somewhere.
      const refs = [sbom.metadata.component, ...sbom.components].map((component) => component['bom-ref']);
      expect(new Set(refs).size).toBe(refs.length);
      for (const { assemblies } of sbom.compositions) expect(refs).toEqual(expect.arrayContaining([...assemblies]));
      for (const { purl } of sbom.components)
        expect(purl).toMatch(/^pkg:npm\/(%40[a-z0-9._~-]+\/)?[A-Za-z0-9._~-]+@[A-Za-z0-9._%-]+$/);
    }
    const { metadata, ...rest } = await sbomOf(TREE);
    expect(check({ ...rest, metadata: { component: { ...metadata.component, type: 'kiosk' } } })).toBe(false);
  });

  it('has neither a serial number nor a time: the same payload, the same document', async () => {
    const sbom = await sbomOf(TREE);
    expect(sbom).not.toHaveProperty('serialNumber');
    expect(sbom.metadata).not.toHaveProperty('timestamp');
    expect(await sbomOf(TREE)).toEqual(sbom);
    expect((await sbomOf({})).components).toEqual([]);
  });
});
