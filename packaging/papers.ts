import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NpmPackage } from './npm-packages.ts';

/** What the package is made of, for the papers that travel with it. */
export interface Made {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly epoch: number;
  readonly packages: readonly NpmPackage[];
  /** What comes from elsewhere than npm. */
  readonly programs: readonly Program[];
}

export interface Program {
  readonly name: string;
  readonly version: string;
  readonly license: string;
  readonly purl: string;
}

/** CycloneDX 1.6, without anything that differs between two builds. */
export function sbomOf({ name, version, epoch, packages, programs }: Made): string {
  const document = {
    $schema: 'http://cyclonedx.org/schema/bom-1.6.schema.json',
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      timestamp: new Date(epoch * 1000).toISOString(),
      component: { type: 'application', 'bom-ref': name, name, version },
    },
    components: [...programs.map(programPart), ...packages.map(packagePart)],
    dependencies: [{ ref: name, dependsOn: [...programs.map(({ purl }) => purl), ...packages.map(purlOf)] }],
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

const programPart = ({ name, version, license, purl }: Program): object => ({
  type: 'application',
  'bom-ref': purl,
  name,
  version,
  licenses: [{ license: { name: license } }],
  purl,
});

const packagePart = (npm: NpmPackage): object => ({
  type: 'library',
  'bom-ref': purlOf(npm),
  ...groupOf(npm.name),
  version: npm.version,
  ...(npm.integrity !== null && { hashes: [{ alg: 'SHA-512', content: hexOf(npm.integrity) }] }),
  licenses: [{ license: { name: npm.license } }],
  purl: purlOf(npm),
});

const groupOf = (name: string): object => {
  const [scope, own] = name.startsWith('@') ? name.split('/') : [undefined, name];
  return scope === undefined ? { name: own } : { group: scope, name: own };
};

const purlOf = ({ name, version }: NpmPackage): string => `pkg:npm/${name.replace('@', '%40')}@${version}`;

const hexOf = (integrity: string): string => Buffer.from(integrity.replace(/^sha512-/, ''), 'base64').toString('hex');

/** Debian's form: who owns what, with the words of each licence as it came. */
export async function copyrightOf({ name, packages, programs }: Made): Promise<string> {
  const paragraphs = await Promise.all(packages.map(licenceOf));
  return [
    'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/',
    `Upstream-Name: ${name}`,
    '',
    'Files: *',
    'Copyright: the owners of Paddock',
    'License: proprietary',
    ' All rights reserved.',
    ...programs.map((program) =>
      [
        '',
        `Files: usr/lib/paddock*/bin/${program.name}`,
        `Copyright: the contributors of ${program.name} ${program.version}, and of what it contains`,
        `License: ${program.license}`,
        ` The whole text, with those of all that ${program.name} contains, is in LICENSE.${program.name}.gz beside this file.`,
      ].join('\n'),
    ),
    ...paragraphs,
    '',
  ].join('\n');
}

/** Debian's form of a changelog, which tools read the version from; what changed is told in our own. */
export function changelogOf({ name, version, epoch }: Made, maintainer: string): string {
  const date = new Date(epoch * 1000).toUTCString().replace('GMT', '+0000');
  return `${name} (${version}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz beside this file.\n\n -- ${maintainer}  ${date}\n`;
}

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-].*)?$/i;

async function licenceOf({ name, version, license, directory }: NpmPackage): Promise<string> {
  const files = (await readdir(directory)).filter((file) => LICENCE_FILE.test(file)).toSorted();
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), 'utf8')));
  const text = texts.join('\n').trim() || `As ${license} says; the package brings no text of its own.`;
  const owners = /^.*copyright.*\d{4}.*$/gim.exec(text)?.[0].trim() ?? `the authors of ${name}`;
  const words = text.split(/\r?\n/).map((line) => (line.trim() === '' ? ' .' : ` ${line.trimEnd()}`));
  const [, ...others] = name.split('/');
  const label = `${[name, ...others].at(-1)}-${version}`;
  return [
    '',
    `Files: npm/${name}`,
    `Copyright: ${owners}`,
    `License: ${license.replace(/\s+/g, '-')}-${label}`,
    ...words,
  ].join('\n');
}
