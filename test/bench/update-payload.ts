/**
 * A payload like that of an application in Node: 11,000 files of 70 MB, most of them source in packages, some of them
 * binaries. The same numbers make the same bytes.
 */
import type { Payload } from '@paddock/cloud/ports-firmware.ts';
import { randomOf } from '../harness/random.ts';
import { treePayload } from '../harness/bundles.ts';

const PACKAGES = 305;
const FILES_OF_A_PACKAGE = 36;
const BINARIES = 8;
const BINARY_BYTES = 1_000_000;
/** Of a source, in lines: a few long ones, many short ones. */
const SHORTEST = 20;
const LONGEST = 330;

const WORDS =
  'value result options context index entry buffer stream message handler request response error config state next ' +
  'parse format create update remove find read write open close send receive check verify load store key name type ' +
  'length offset size count first last target source event listener callback resolve reject promise cache pool queue';
const VOCABULARY = WORDS.split(' ');

export type Files = Map<string, Uint8Array>;

export function makeFiles(): Files {
  const files: Files = new Map();
  for (let at = 0; at < PACKAGES; at += 1) addPackage(files, at);
  for (let at = 0; at < BINARIES; at += 1) files.set(`lib/native-${at}.node`, binary(randomOf(900_000 + at)));
  return files;
}

export const payloadOf = (files: Files): Payload => treePayload(Object.fromEntries(files));

/** One line of one source is another one. */
export function withOneLineChanged(files: Files): Files {
  const changed = new Map(files);
  rewrite(changed, pathOf(17, 5), (lines) => lines.with(12, '  return options.retries ?? 3;'));
  return changed;
}

/**
 * Two packages have a newer version: a third of their sources has changed in one line of ten, one is new and one is
 * gone.
 */
export function withTwoBumped(files: Files): Files {
  const changed = new Map(files);
  for (const at of [40, 201]) {
    changed.set(`${directoryOf(at)}/package.json`, manifestOf(at, '2.0.1'));
    const random = randomOf(500_000 + at);
    for (let file = 1; file < FILES_OF_A_PACKAGE; file += 3)
      rewrite(changed, pathOf(at, file), (lines) => lines.map((line) => (random() < 0.1 ? sourceLine(random) : line)));
    changed.delete(pathOf(at, 2));
    changed.set(pathOf(at, FILES_OF_A_PACKAGE), source(random));
  }
  return changed;
}

const directoryOf = (at: number): string => `node_modules/package-${at}`;
const pathOf = (at: number, file: number): string => `${directoryOf(at)}/lib/module-${file}.js`;

function addPackage(files: Files, at: number): void {
  files.set(`${directoryOf(at)}/package.json`, manifestOf(at, '2.0.0'));
  for (let file = 1; file < FILES_OF_A_PACKAGE; file += 1)
    files.set(pathOf(at, file), source(randomOf(at * FILES_OF_A_PACKAGE + file)));
}

const manifestOf = (at: number, version: string): Uint8Array =>
  Buffer.from(
    `${JSON.stringify({ name: `package-${at}`, version, main: 'lib/module-1.js', license: 'MIT' }, null, 2)}\n`,
  );

/** Squared, so that short ones are many. */
function source(random: () => number): Uint8Array {
  const lines = SHORTEST + Math.floor(random() ** 2 * (LONGEST - SHORTEST));
  return Buffer.from(Array.from({ length: lines }, () => `${sourceLine(random)}\n`).join(''));
}

function sourceLine(random: () => number): string {
  const word = (): string => VOCABULARY[Math.floor(random() * VOCABULARY.length)] ?? '';
  const camel = (): string => word() + word().replace(/^./, (letter) => letter.toUpperCase());
  const number = Math.floor(random() * 1_000);
  const forms = [
    () => `  const ${camel()} = this.${camel()}(${word()}, ${number});`,
    () => `  if (${word()}.${camel()} === undefined) throw new TypeError('${word()} ${word()} ${word()}');`,
    () => `export function ${camel()}(${word()}, ${word()}) {`,
    () => `  return ${camel()}.${word()}(({ ${word()} }) => ${word()} > ${number});`,
    () => `  // The ${word()} ${word()} of a ${word()} is ${word()} when the ${word()} ${word()}.`,
    () => `  await ${camel()}.${camel()}();`,
    () => '}',
  ];
  return forms[Math.floor(random() * forms.length)]?.() ?? '';
}

/** Machine code: neither text nor noise. */
function binary(random: () => number): Uint8Array {
  const words = Array.from({ length: 4_096 }, () => Math.floor(random() * 2 ** 32));
  const bytes = Buffer.alloc(BINARY_BYTES);
  for (let at = 0; at < bytes.length; at += 4)
    bytes.writeUInt32LE(words[Math.floor(random() ** 2 * words.length)] ?? 0, at);
  return bytes;
}

function rewrite(files: Files, path: string, change: (lines: string[]) => string[]): void {
  const text = Buffer.from(files.get(path) ?? '').toString('utf8');
  files.set(path, Buffer.from(change(text.split('\n')).join('\n')));
}
