/**
 * Makes the agent's Debian packages: `npm run package:agent [-- --arch amd64 --out DIR --deb-version V --quick --json]`.
 * Without --arch one for each architecture. SOURCE_DATE_EPOCH (in seconds; else the last commit's time) makes two builds
 * the same. --quick is for tests: it compresses less.
 */
import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs, promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import agent from '../agent/package.json' with { type: 'json' };
import { ARCHITECTURES, isArchitecture, type Architecture } from './architectures.ts';
import { buildDeb } from './deb.ts';
import { placeNatives } from './natives.ts';
import { packageAt, packageFor, placeOf, REPOSITORY, type NpmPackage } from './npm-packages.ts';
import { changelogOf, copyrightOf, sbomOf, type Made } from './papers.ts';
import { strip } from './strip.ts';

const run = promisify(execFile);
const NAME = 'paddock-agent';
/** Nobody has an address yet: one that can never be somebody else's. */
const MAINTAINER = 'Paddock <agent@paddock.invalid>';
const LIB = 'usr/lib/paddock';
const SOURCES = join(import.meta.dirname, 'agent');
const SHEBANG = `#!/usr/bin/env -S /${LIB}/bin/node --lite-mode --max-semi-space-size=1 --disable-sigusr1`;

/** What lies in packaging/agent, and where it goes. */
const FILES = {
  'paddock-agent.service': 'usr/lib/systemd/system/paddock-agent.service',
  'paddock-launcher.service': 'usr/lib/systemd/system/paddock-launcher.service',
  '60-paddock-agent.rules': 'usr/lib/udev/rules.d/60-paddock-agent.rules',
  'paddock-agent-setup': 'usr/sbin/paddock-agent-setup',
  'agent.yaml': `usr/share/doc/${NAME}/examples/agent.yaml`,
  'no-machine-code.conf': `usr/share/doc/${NAME}/examples/no-machine-code.conf`,
  'set-clock.conf': `usr/share/doc/${NAME}/examples/set-clock.conf`,
  'tpm.conf': `usr/share/doc/${NAME}/examples/tpm.conf`,
  'lintian-overrides': `usr/share/lintian/overrides/${NAME}`,
  postinst: 'DEBIAN/postinst',
  prerm: 'DEBIAN/prerm',
  postrm: 'DEBIAN/postrm',
} as const;

/** A page for each program in a directory that people's shells look into. */
const MANUAL = ['paddock-agent.8', 'paddock-agent-setup.8'];

const { values: flags } = parseArgs({
  options: {
    arch: { type: 'string' },
    out: { type: 'string', default: join(REPOSITORY, 'agent/dist-deb') },
    'deb-version': { type: 'string', default: agent.version },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

interface Built {
  readonly file: string;
  readonly architecture: Architecture;
  readonly bytes: number;
  readonly installedBytes: number;
  /** What is not in it, in words. */
  readonly missing: readonly string[];
}

async function main(): Promise<void> {
  const wanted = flags.arch === undefined ? Object.keys(ARCHITECTURES) : [flags.arch];
  const architectures = wanted.filter(isArchitecture);
  if (architectures.length < wanted.length) throw new Error(`--arch takes ${Object.keys(ARCHITECTURES).join(' or ')}`);
  const epoch = await sourceDateEpoch();
  const out = resolve(flags.out);
  await mkdir(out, { recursive: true });
  const built: Built[] = [];
  for (const architecture of architectures) built.push(await build(architecture, { epoch, out }));
  if (flags.json) process.stdout.write(`${JSON.stringify(built)}\n`);
  else for (const one of built) tell(one);
}

function tell({ file, bytes, installedBytes, missing }: Built): void {
  process.stdout.write(`${file}: ${bytes} bytes, ${installedBytes} installed\n`);
  for (const words of missing) process.stdout.write(`  not in it: ${words}\n`);
}

/** @throws when neither the environment nor a repository says it */
async function sourceDateEpoch(): Promise<number> {
  const said = process.env['SOURCE_DATE_EPOCH'];
  const text = said ?? (await run('git', ['log', '-1', '--format=%ct'], { cwd: REPOSITORY })).stdout;
  const epoch = Number(text.trim());
  if (!Number.isSafeInteger(epoch) || text.trim() === '') throw new Error('SOURCE_DATE_EPOCH is no count of seconds');
  return epoch;
}

async function build(architecture: Architecture, { epoch, out }: { epoch: number; out: string }): Promise<Built> {
  const work = await mkdtemp(join(tmpdir(), 'paddock-package-'));
  try {
    const root = join(work, 'root');
    const lib = join(root, LIB);
    const bundled = await placeBundle(lib, join(work, 'meta.json'), epoch);
    const node = await placeNode(lib, architecture);
    const natives = await placeNatives(lib, architecture);
    const packages = unique([...bundled, ...natives.packages]);
    await placeFiles(root);
    await placePapers(
      root,
      {
        name: NAME,
        version: flags['deb-version'],
        description: 'device agent of kiosks',
        epoch,
        packages,
        programs: [
          { name: 'node', version: node.npm.version, license: 'MIT', purl: `pkg:generic/node@${node.npm.version}` },
        ],
      },
      node.npm,
    );
    const file = join(out, `${NAME}_${flags['deb-version']}_${architecture}.deb`);
    await buildDeb(root, controlOf(architecture), { to: file, epoch, compression: flags.quick ? 'quick' : 'small' });
    const [{ size: bytes }, installedBytes] = await Promise.all([stat(file), sizeOf(root)]);
    return { file, architecture, bytes, installedBytes, missing: [...node.missing, ...natives.missing] };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The program itself. @returns the packages of npm that it was bundled from */
async function placeBundle(lib: string, metafile: string, epoch: number): Promise<NpmPackage[]> {
  const script = join(REPOSITORY, 'agent/bundle.ts');
  const env = { ...process.env, SOURCE_DATE_EPOCH: `${epoch}` };
  await run(process.execPath, [script, '--out', lib, '--metafile', metafile], { env });
  for (const name of (await readdir(lib)).filter((file) => file.endsWith('.cjs'))) {
    const starter = join(lib, name);
    await writeFile(starter, (await readFile(starter, 'utf8')).replace(/^#!.*/, SHEBANG), { mode: 0o755 });
  }
  await writeFile(join(lib, 'package.json'), '{ "type": "module" }\n');
  const { inputs } = JSON.parse(await readFile(metafile, 'utf8')) as { inputs: Record<string, unknown> };
  const places = new Set(
    Object.keys(inputs)
      .map(placeOf)
      .filter((place) => place !== null),
  );
  return Promise.all([...places].map(packageAt));
}

/** Without what only a debugger reads, where the tool for that is here. */
async function placeNode(lib: string, architecture: Architecture): Promise<{ npm: NpmPackage; missing: string[] }> {
  const { node, tools } = ARCHITECTURES[architecture];
  const npm = await packageFor(`node-linux-${node}`);
  const program = join(lib, 'bin/node');
  await mkdir(dirname(program), { recursive: true });
  await cp(join(npm.directory, 'bin/node'), program);
  await chmod(program, 0o755);
  const isSmall = await strip(program, architecture);
  const words = `a smaller Node: its symbols are still in it (binutils-${tools.replace('_', '-')})`;
  return { npm, missing: isSmall ? [] : [words] };
}

async function placeFiles(root: string): Promise<void> {
  for (const [from, to] of Object.entries(FILES)) {
    await mkdir(dirname(join(root, to)), { recursive: true });
    await cp(join(SOURCES, from), join(root, to));
    if (/^DEBIAN|^usr\/sbin/.test(to)) await chmod(join(root, to), 0o755);
  }
  await mkdir(join(root, 'usr/bin'), { recursive: true });
  await symlink(`../lib/paddock/${NAME}.cjs`, join(root, 'usr/bin', NAME));
  for (const page of MANUAL)
    await gzipped(join(root, `usr/share/man/man8/${page}.gz`), await readFile(join(SOURCES, page)));
}

async function placePapers(root: string, made: Made, node: NpmPackage): Promise<void> {
  const doc = join(root, 'usr/share/doc', NAME);
  await writeFile(join(doc, 'sbom.cdx.json'), sbomOf(made));
  await writeFile(join(doc, 'copyright'), await copyrightOf(made));
  await gzipped(join(doc, 'LICENSE.node.gz'), await readFile(join(node.directory, 'LICENSE')));
  await gzipped(join(doc, 'changelog.gz'), Buffer.from(changelogOf(made, MAINTAINER)));
  await gzipped(join(doc, 'CHANGELOG.md.gz'), await readFile(join(REPOSITORY, 'CHANGELOG.md')));
}

async function gzipped(to: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, gzipSync(bytes, { level: 9 }));
}

const controlOf = (architecture: Architecture) => ({
  Package: NAME,
  Version: flags['deb-version'],
  Architecture: architecture,
  Maintainer: MAINTAINER,
  Section: 'admin',
  Priority: 'optional',
  // What Node asks for, and what the maintainer scripts call.
  Depends: 'libc6 (>= 2.28), libgcc-s1, libstdc++6 (>= 9), adduser, init-system-helpers (>= 1.54)',
  Recommends: 'systemd (>= 247), udev',
  Description: `device agent of kiosks
 Reads the sensors of a kiosk, reports its full state to its cloud, signed with
 the kiosk's own key, and installs signed releases of what the kiosk runs into
 one of two slots. Brings its own Node along.`,
});

const unique = (packages: readonly NpmPackage[]): NpmPackage[] =>
  [...new Map(packages.map((npm) => [`${npm.name}@${npm.version}`, npm])).values()].toSorted((a, b) =>
    `${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1,
  );

async function sizeOf(root: string): Promise<number> {
  const names = await readdir(root, { recursive: true });
  const sizes = await Promise.all(
    names
      .filter((name) => !name.startsWith('DEBIAN'))
      .map(async (name) => {
        const stats = await stat(join(root, name)).catch(() => null);
        return stats?.isFile() === true ? stats.size : 0;
      }),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

await main();
