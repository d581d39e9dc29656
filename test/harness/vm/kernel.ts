import { readFile, mkdir, rm, writeFile, readdir, copyFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { buildGpioSim } from './gpio-sim.ts';
import { aptCache, download } from './debian.ts';
import { pipeline, tool } from './tools.ts';

/** The kernel that this Debian names for a plain machine. Its number moves with every security update. */
export interface DebianKernel {
  /** Such as `6.1.0-56-amd64`. */
  readonly release: string;
  /** Of the package, such as `6.1.192-2`. */
  readonly version: string;
  /** Such as `6.1`: the source is a package of its own, and may be a build ahead. */
  readonly series: string;
}

/** What the guest loads, whatever it depends on included: what is not here is not in the guest. */
const MODULES = {
  /** What the root needs: these are in the initial RAM file system. */
  boot: 'virtio_pci virtio_blk ext4 crc32c_generic overlay squashfs'.split(' '),
  root: 'virtio_console virtio_net virtio-rng 9p 9pnet_virtio xhci_pci ftdi_sio cdc_acm i6300esb softdog ramoops configfs loop dm-mod dm-verity autofs4'.split(
    ' ',
  ),
};

export async function debianKernel(): Promise<DebianKernel> {
  const depends = await aptCache('depends', 'linux-image-amd64');
  const [, release] = /linux-image-(\d\S*-amd64)/.exec(depends) ?? [];
  if (release === undefined) throw new Error(`Debian names no kernel: ${depends}`);
  const [, version] =
    /^Version: (.+)$/m.exec(await aptCache('show', '--no-all-versions', `linux-image-${release}`)) ?? [];
  const [, series] = /^(\d+\.\d+)\./.exec(version ?? '') ?? [];
  if (version === undefined || series === undefined) throw new Error(`The kernel ${release} has no version`);
  return { release, version, series };
}

/** What decides what is in a kernel's directory. */
export const kernelIngredients = ({ release, version }: DebianKernel): string[] => [
  release,
  version,
  JSON.stringify(MODULES),
];

/**
 * `vmlinuz`, as boot loaders take it, and `vmlinux`; `modules/` as they are in the guest's root, and `boot-modules`: paths
 * of those that the root needs, in order.
 */
export async function makeKernel(kernel: DebianKernel, directory: string): Promise<void> {
  const { release, series } = kernel;
  const work = join(directory, 'work');
  const whole = join(work, 'image');
  await mkdir(work);
  const architecture = release.replace(/^.*-/, '');
  const common = release.replace(`-${architecture}`, '-common');
  await download(work, [
    `linux-image-${release}`,
    `linux-headers-${release}`,
    `linux-headers-${common}`,
    `linux-kbuild-${series}`,
    `linux-source-${series}`,
  ]);
  await pipeline('dpkg-deb -x linux-image-*.deb image', [], { directory: work });
  await pipeline('for deb in linux-headers-*.deb linux-kbuild-*.deb; do dpkg-deb -x "$deb" headers; done', [], {
    directory: work,
  });
  const packed = join(directory, 'vmlinuz');
  await copyFile(join(whole, 'boot', `vmlinuz-${release}`), packed);
  await unpackedKernel(packed, join(directory, 'vmlinux'));
  const extra = join(whole, 'lib/modules', release, 'extra');
  await mkdir(extra);
  await copyFile(await buildGpioSim({ work, release, series }), join(extra, 'gpio-sim.ko'));
  await tool('depmod', ['-b', whole, release]);
  await pickModules(whole, release, directory);
  await rm(work, { recursive: true });
}

const XZ_HEAD = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]);

/** A kernel that need not unpack itself starts 5 seconds of processor time earlier. */
async function unpackedKernel(from: string, to: string): Promise<void> {
  const packed = await readFile(from);
  const start = packed.indexOf(XZ_HEAD);
  if (start < 0) throw new Error(`${from} is not packed with xz`);
  const payload = `${to}.xz`;
  await writeFile(payload, packed.subarray(start));
  // Something else follows the stream: xz says so, and has written it by then.
  await pipeline('xz --decompress --stdout --single-stream --quiet "$1" > "$2" || [ $? = 2 ]', [payload, to]);
  await rm(payload);
}

/** Copies the modules that are asked for, with what they depend on. */
async function pickModules(whole: string, release: string, directory: string): Promise<void> {
  const boot = await withDependencies(whole, release, MODULES.boot);
  const all = await withDependencies(whole, release, [...MODULES.boot, ...MODULES.root, 'gpio-sim']);
  const home = join(whole, 'lib/modules', release);
  const target = join(directory, 'modules/lib/modules', release);
  for (const path of all) {
    const to = join(target, path.slice(home.length));
    await mkdir(dirname(to), { recursive: true });
    await copyFile(path, to);
  }
  for (const name of (await readdir(home)).filter((file) => /^modules\.(builtin|order)/.test(file)))
    await copyFile(join(home, name), join(target, name));
  await tool('depmod', ['-b', join(directory, 'modules'), release]);
  await writeFile(join(directory, 'boot-modules'), boot.map((path) => `${path.slice(whole.length + 1)}\n`).join(''));
}

async function withDependencies(whole: string, release: string, names: readonly string[]): Promise<string[]> {
  const shown: string[] = [];
  for (const name of names)
    shown.push(await tool('modprobe', ['--dirname', whole, '--set-version', release, '--show-depends', name]));
  const paths = shown.join('').matchAll(/^insmod (\S+)/gm);
  return [...new Set([...paths].map(([, path = '']) => path))];
}
