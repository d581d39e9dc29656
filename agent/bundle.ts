/**
 * Makes dist/, the agent and its launcher as they are released: `npm run bundle:agent [-- --out DIR --metafile FILE]`.
 * The metafile is esbuild's: what came from where.
 */
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';

const here = import.meta.dirname;
const { values: flags } = parseArgs({ options: { out: { type: 'string' }, metafile: { type: 'string' } } });
const dist = resolve(flags.out ?? join(here, 'dist'));

/**
 * The agent computes next to nothing, so it does without compiled machine code and with a small nursery: a third of
 * its memory. V8 takes these flags only before it starts; the sources could not run with them, because stripping
 * types needs WebAssembly.
 */
const SHEBANG = '#!/usr/bin/env -S node --lite-mode --max-semi-space-size=1 --disable-sigusr1';

/** The floor of trusted time before the first exchange. SOURCE_DATE_EPOCH (in seconds) makes two builds the same. */
const { SOURCE_DATE_EPOCH } = process.env;
const builtAt = SOURCE_DATE_EPOCH === undefined ? new Date() : new Date(Number(SOURCE_DATE_EPOCH) * 1000);

await rm(dist, { recursive: true, force: true });
const { metafile } = await build({
  absWorkingDir: here,
  entryPoints: [
    'src/cli.ts',
    'src/cli-launcher.ts',
    'src/cli-start.ts',
    'src/installer-thread.ts',
    'src/adapters/driver-host/thread.ts',
  ],
  outdir: dist,
  bundle: true,
  // What is imported where it is used stays a file of its own, and costs nothing where it is not used.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  define: { PADDOCK_BUILT_AT: JSON.stringify(builtAt.toISOString()) },
  // Names are kept: a stack in a log must be readable.
  minifyWhitespace: true,
  minifySyntax: true,
  // Native addons are found beside the bundle at run time.
  external: ['koffi', '@serialport/bindings-cpp', 'pkcs11js'],
  // CommonJS inside an ES module asks for the modules of Node by `require`.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  metafile: true,
  logLevel: 'warning',
});
if (flags.metafile !== undefined) await writeFile(flags.metafile, JSON.stringify(metafile));
for (const [program, entry] of [
  ['paddock-agent', 'cli'],
  ['paddock-launcher', 'cli-launcher'],
  ['paddock-start', 'cli-start'],
] as const)
  await writeFile(join(dist, `${program}.cjs`), await releasedStarter(program, entry), { mode: 0o755 });

// What the kiosk's own software takes along.
for (const file of ['paddock-local.mjs', 'paddock-local.d.mts'])
  await copyFile(join(here, 'client', file), join(dist, file));

/** The program's start among the sources, with the bundle in their place. */
async function releasedStarter(program: string, entry: string): Promise<string> {
  const source = await readFile(join(here, `bin/${program}.cjs`), 'utf8');
  const released = source.replace(/^#!.*/, SHEBANG).replace(`'../src/${entry}.ts'`, `'./${entry}.js'`);
  if (!released.startsWith(SHEBANG) || !released.includes(`'./${entry}.js'`))
    throw new Error(`bin/${program}.cjs does not look as this script expects it`);
  return released;
}
