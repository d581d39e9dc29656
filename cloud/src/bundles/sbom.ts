import { isFile } from '@paddock/shared/bundle-index.ts';
import { findNpmPackages, type NpmPackage } from './npm-packages.ts';
import type { PayloadFiles } from './payload-files.ts';
import type { Recipe } from './recipe.ts';

const BUNDLE_REF = 'bundle';

/**
 * What is in the bundle, as CycloneDX 1.6: the bundle itself, and the npm packages that lie in its payload. Without a
 * serial number and without a time, so that the same payload makes the same document.
 */
export async function makeSbom(recipe: Recipe, payload: PayloadFiles): Promise<Uint8Array> {
  const packages = await findNpmPackages(payload.entries.filter(isFile), payload.read);
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      component: { type: 'firmware', 'bom-ref': BUNDLE_REF, name: recipe.name, version: recipe.version },
      properties: [{ name: 'paddock:counter', value: String(recipe.counter) }],
    },
    components: packages.map(componentOf),
    // Programs that came from elsewhere than npm are not found: nobody shall take the list for complete.
    compositions: [{ aggregate: 'incomplete', assemblies: [BUNDLE_REF] }],
  };
  return new TextEncoder().encode(`${JSON.stringify(document, null, 2)}\n`);
}

function componentOf({ name, version, isLibrary, license, sha512, places }: NpmPackage): object {
  const [scope, own] = name.startsWith('@') ? name.split('/') : [undefined, name];
  const purl = `pkg:npm/${scope === undefined ? '' : `${encodeURIComponent(scope)}/`}${own}@${encodeURIComponent(version)}`;
  return {
    type: isLibrary ? 'library' : 'application',
    'bom-ref': purl,
    ...(scope !== undefined && { group: scope }),
    name: own,
    version,
    ...(sha512 !== null && { hashes: [{ alg: 'SHA-512', content: sha512 }] }),
    ...(license !== null && { licenses: [{ license: { name: license } }] }),
    purl,
    evidence: { occurrences: places.map((location) => ({ location })) },
  };
}
