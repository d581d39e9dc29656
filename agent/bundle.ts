/** Makes dist/, the agent as it is released: `node agent/bundle.ts`. */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';

const here = import.meta.dirname;
const dist = join(here, 'dist');

await rm(dist, { recursive: true, force: true });
await build({
  absWorkingDir: here,
  entryPoints: ['src/cli.ts'],
  outdir: dist,
  bundle: true,
  // What is imported where it is used stays a file of its own, and costs nothing where it is not used.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // Names are kept: a stack in a log must be readable.
  minifyWhitespace: true,
  minifySyntax: true,
  // Native addons are found beside the bundle at run time.
  external: ['koffi', '@serialport/bindings-cpp'],
  // CommonJS inside an ES module asks for the modules of Node by `require`.
  banner: {
    js: "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);",
  },
  logLevel: 'warning',
});
const launcher = await readFile(join(here, 'bin/paddock-agent.cjs'), 'utf8');
await writeFile(join(dist, 'paddock-agent.cjs'), launcher.replace("'../src/cli.ts'", "'./cli.js'"), { mode: 0o755 });
