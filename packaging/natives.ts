import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ARCHITECTURES, ownArchitecture, type Architecture } from './architectures.ts';
import { packageAt, packageFor, REPOSITORY, type NpmPackage } from './npm-packages.ts';
import { strip } from './strip.ts';
import { locateTool } from './tools.ts';

const run = promisify(execFile);

const SERIAL = 'node_modules/@serialport/bindings-cpp';
/** What it loads besides. */
const PLAIN_PACKAGES = [
  `${SERIAL}/node_modules/debug`,
  `${SERIAL}/node_modules/@serialport/parser-readline`,
  `${SERIAL}/node_modules/@serialport/parser-delimiter`,
  'node_modules/@serialport/bindings-interface',
  'node_modules/ms',
  'node_modules/node-gyp-build',
];
const KOFFI_FILES = ['package.json', 'index.js', 'src/koffi/index.js', 'src/koffi/src/static.js'];

export interface Natives {
  /** What lies in the package now. */
  readonly packages: readonly NpmPackage[];
  /** What is not in it, in words for whoever builds and for whoever reads the documentation. */
  readonly missing: readonly string[];
}

/** Puts the addons for an architecture into `node_modules` of a directory, with the little JavaScript that loads them. */
export async function placeNatives(into: string, architecture: Architecture): Promise<Natives> {
  const packages = [await placeKoffi(into, architecture), ...(await placeSerial(into, architecture))];
  const token = await placeToken(into, architecture);
  return typeof token === 'string' ? { packages, missing: [token] } : { packages: [...packages, token], missing: [] };
}

async function placeKoffi(into: string, architecture: Architecture): Promise<NpmPackage> {
  const { node } = ARCHITECTURES[architecture];
  const koffi = await packageAt('node_modules/koffi');
  const binary = await packageFor(`@koromix/koffi-linux-${node}`);
  for (const file of KOFFI_FILES) await put(join(koffi.directory, file), join(into, 'node_modules/koffi', file));
  const place = `linux_${node}/koffi.node`;
  await put(join(binary.directory, place), join(into, 'node_modules/koffi/build/koffi', place));
  return koffi;
}

async function placeSerial(into: string, architecture: Architecture): Promise<NpmPackage[]> {
  const bindings = await packageAt(SERIAL);
  const prebuild = `prebuilds/${ARCHITECTURES[architecture].serial}`;
  await put(join(bindings.directory, prebuild), join(into, SERIAL, prebuild));
  const plain = await Promise.all(PLAIN_PACKAGES.map(packageAt));
  for (const { directory } of [bindings, ...plain]) await putScripts(directory, into);
  return [bindings, ...plain];
}

/** @returns words when it is not there */
async function placeToken(into: string, architecture: Architecture): Promise<NpmPackage | string> {
  const place = 'node_modules/pkcs11js';
  const to = join(into, place, 'build/Release/pkcs11.node');
  if (!existsSync(join(REPOSITORY, place))) return 'keys on a token: pkcs11js is not installed here';
  const token = await packageAt(place);
  const built = join(token.directory, 'build/Release/pkcs11.node');
  const { tools } = ARCHITECTURES[architecture];
  if (architecture !== ownArchitecture()) {
    const compiler = locateTool(`${tools}-g++`);
    if (compiler === null)
      return `keys on a token: pkcs11js has no compiler for ${architecture} here (g++-${tools.replace('_', '-')})`;
    await mkdir(dirname(to), { recursive: true });
    await compileToken(compiler, token.directory, to);
  } else if (existsSync(built)) await put(built, to);
  else return 'keys on a token: pkcs11js was not compiled by npm ci (g++, make, python3)';
  await strip(to, architecture);
  await putScripts(token.directory, into);
  return token;
}

/** As its binding.gyp does; the headers of Node are the same for all architectures. */
async function compileToken(compiler: string, directory: string, to: string): Promise<void> {
  const node = await packageFor(`node-linux-${process.arch}`);
  const sources = ['dl', 'common', 'main'].map((name) => join('src', `${name}.cpp`));
  const includes = [`-I${join(node.directory, 'include/node')}`, '-Iincludes', `-ffile-prefix-map=${directory}=.`];
  const flags = ['-shared', '-fPIC', '-O2', '-std=c++17', '-DNAPI_DISABLE_CPP_EXCEPTIONS', '-Wl,--build-id=none'];
  await run(compiler, [...flags, ...includes, ...sources, '-o', to], { cwd: directory });
}

/** Programs and their manifest, without what else a package brings. */
async function putScripts(directory: string, into: string): Promise<void> {
  const names = await readdir(directory, { recursive: true });
  for (const name of names.filter(isLoaded)) {
    const from = join(directory, name);
    await put(from, join(into, from.slice(REPOSITORY.length + 1)));
  }
}

const UNUSED = /(^|\/)(node_modules|test|build)\/|(^|\/)(bin|build-test|optional|browser)\.js$/;

const isLoaded = (name: string): boolean => (name === 'package.json' || /\.c?js$/.test(name)) && !UNUSED.test(name);

async function put(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await cp(from, to, { dereference: true });
}
