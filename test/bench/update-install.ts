import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createHash } from 'node:crypto';
import { formatIndex, type IndexedFile } from '@paddock/shared/bundle-index.ts';
import { build } from 'esbuild';

const ROOT = join(import.meta.dirname, '../..');
const run = promisify(execFile);

/** A payload as a kiosk's application has one: many small files, and a few large ones. */
const FILES = 11_000;
const LARGE_EVERY = 100;
const ROUNDS = 3;

export interface InstallFigures {
  /** Staging and verifying the payload into an empty slot, from objects; the last step is durable. */
  readonly stageMs: number;
  /** `cp -r` and `sha256sum` of the same tree. */
  readonly referenceMs: number;
  readonly ratio: number;
  /** Of a process that has the installer and does nothing, and how much more it is at most while it stages. */
  readonly idleBytes: number;
  readonly growthBytes: number;
}

/** Medians of several rounds: other programs disturb single ones. */
export async function measureInstall(): Promise<InstallFigures> {
  const home = await mkdtemp(join(tmpdir(), 'paddock-install-'));
  try {
    await makePayload(home);
    const program = await bundleProgram();
    const rounds: { stageMs: number; idleBytes: number; peakBytes: number; referenceMs: number }[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const referenceMs = await reference(home, round);
      await run('sync');
      const flags = ['--lite-mode', '--max-semi-space-size=1'];
      const { stdout } = await run(process.execPath, [...flags, program, join(home, 'slots'), home]);
      // Nothing is removed before the end: a file system is slow to give out again what was free a moment ago.
      await rename(join(home, 'slots/a'), join(home, `staged-${round}`));
      rounds.push({ ...(JSON.parse(stdout) as Omit<(typeof rounds)[number], 'referenceMs'>), referenceMs });
    }
    const stageMs = median(rounds.map((each) => each.stageMs));
    const referenceMs = median(rounds.map((each) => each.referenceMs));
    return {
      stageMs,
      referenceMs,
      ratio: stageMs / referenceMs,
      idleBytes: median(rounds.map(({ idleBytes }) => idleBytes)),
      growthBytes: median(rounds.map(({ peakBytes, idleBytes }) => peakBytes - idleBytes)),
    };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** The tree, its objects where a download leaves them, and what it is signed as. */
async function makePayload(home: string): Promise<void> {
  await mkdir(join(home, 'slots/objects'), { recursive: true });
  const files: IndexedFile[] = [];
  for (let at = 0; at < FILES; at += 1) {
    const directory = `lib/module-${at % 500}`;
    if (at < 500) await mkdir(join(home, 'tree', directory), { recursive: true });
    const bytes = contentOf(at, at % LARGE_EVERY === 0 ? 400_000 : 1_700 + ((at * 7919) % 1_800));
    const sha256 = sha256Of(bytes);
    const path = `${directory}/file-${at}.js`;
    await writeFile(join(home, 'tree', path), bytes);
    await writeFile(join(home, 'slots/objects', sha256), bytes);
    files.push({ path, mode: '644', size: bytes.length, sha256 });
  }
  const index = formatIndex(files);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  const manifest = {
    v: 1,
    name: 'bench',
    version: '1.0.0',
    counter: 1,
    models: ['bench'],
    files: files.length,
    bytes,
    index: { sha256: sha256Of(index), bytes: index.length },
    sbom: { sha256: '0'.repeat(64), bytes: 0 },
    health: { withinSeconds: 60, settleSeconds: 1, sensors: false },
  };
  await writeFile(join(home, 'index'), index);
  await writeFile(join(home, 'manifest'), JSON.stringify(manifest));
}

/** Different in every file, and the same every time. */
const contentOf = (at: number, size: number): Buffer =>
  Buffer.alloc(size, createHash('sha512').update(String(at)).digest());

/** As the agent is released. */
async function bundleProgram(): Promise<string> {
  // Beside node_modules: native addons are found from there.
  const outdir = join(ROOT, 'agent/dist/bench');
  await build({
    absWorkingDir: ROOT,
    entryPoints: ['test/bench/update-install-program.ts', 'agent/src/installer-thread.ts'],
    entryNames: '[name]',
    outdir,
    ...({ bundle: true, splitting: true, format: 'esm', platform: 'node', target: 'node24' } as const),
    external: ['koffi'],
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
    logLevel: 'warning',
  });
  return join(outdir, 'update-install-program.js');
}

/** @returns ms */
async function reference(home: string, round: number): Promise<number> {
  const copy = join(home, `copy-${round}`);
  await run('sync');
  const start = performance.now();
  await run('cp', ['-r', join(home, 'tree'), copy]);
  const sums = 'find "$1" -type f -print0 | xargs -0 sha256sum >/dev/null';
  await run('sh', ['-c', sums, 'sums', copy]);
  return performance.now() - start;
}

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
