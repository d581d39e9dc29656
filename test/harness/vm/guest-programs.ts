import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { build } from 'esbuild';
import { tool } from './tools.ts';

const REPOSITORY = join(import.meta.dirname, '../../..');
const CACHE = join(REPOSITORY, 'node_modules/.cache');

/** Programs of the checkout as single files: the guest reads the host's files one by one, and slowly. */
export interface GuestPrograms {
  /** Below the checkout, where addons are found. */
  readonly directory: string;
  remove(): Promise<void>;
}

/**
 * Bundles the agent, and programs of tests beside it.
 * @param sources absolute; of `a.ts` comes `programs/a.mjs`
 */
export async function bundlePrograms(sources: readonly string[]): Promise<GuestPrograms> {
  await mkdir(CACHE, { recursive: true });
  const home = await mkdtemp(join(CACHE, 'guest-'));
  await tool(process.execPath, [join(REPOSITORY, 'agent/bundle.ts'), '--out', home]);
  await build({
    entryPoints: Object.fromEntries(sources.map((source) => [basename(source, '.ts'), source])),
    outdir: join(home, 'programs'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    external: ['koffi', '@serialport/bindings-cpp', 'pkcs11js'],
    outExtension: { '.js': '.mjs' },
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'warning',
  });
  return {
    directory: home.slice(REPOSITORY.length + 1),
    remove: async () => rm(home, { recursive: true, force: true }),
  };
}
