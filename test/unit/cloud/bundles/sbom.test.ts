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

  // https://cyclonedx.org/schema/bom-1.6.schema.json, as far as it concerns what we write.
  it('keeps the rules of CycloneDX 1.6', async () => {
    const sbom = await sbomOf(TREE);
    expect(Object.keys(sbom).toSorted()).toEqual(
      ['$schema', 'bomFormat', 'components', 'compositions', 'metadata', 'specVersion', 'version'].toSorted(),
    );
    expect(sbom).toMatchObject({ bomFormat: 'CycloneDX', specVersion: '1.6', version: 1 });
    const refs = [sbom.metadata.component, ...sbom.components].map((component) => component['bom-ref']);
    expect(new Set(refs).size).toBe(refs.length);
    for (const { aggregate, assemblies } of sbom.compositions) {
      expect(['complete', 'incomplete', 'unknown', 'not_specified']).toContain(aggregate);
      expect(refs).toEqual(expect.arrayContaining([...assemblies]));
    }
    expect(['application', 'framework', 'library', 'operating-system', 'device', 'firmware', 'file']).toContain(
      sbom.metadata.component.type,
    );
    for (const { type, name, version, purl, hashes = [], licenses = [], evidence } of sbom.components) {
      expect(['application', 'library']).toContain(type);
      expect(name).not.toBe('');
      expect(version.length).toBeLessThanOrEqual(1024);
      expect(purl).toMatch(/^pkg:npm\/(%40[a-z0-9._~-]+\/)?[A-Za-z0-9._~-]+@[A-Za-z0-9._%-]+$/);
      for (const { alg, content } of hashes)
        expect([alg, content]).toEqual(['SHA-512', expect.stringMatching(/^[0-9a-f]{128}$/)]);
      for (const { license } of licenses) expect(Object.keys(license)).toEqual(['name']);
      expect(evidence?.occurrences.length).toBeGreaterThan(0);
    }
  });

  it('has neither a serial number nor a time: the same payload, the same document', async () => {
    const sbom = await sbomOf(TREE);
    expect(sbom).not.toHaveProperty('serialNumber');
    expect(sbom.metadata).not.toHaveProperty('timestamp');
    expect(await sbomOf(TREE)).toEqual(sbom);
    expect((await sbomOf({})).components).toEqual([]);
  });
});
