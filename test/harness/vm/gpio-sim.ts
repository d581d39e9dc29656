import { readFile, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline, tool } from './tools.ts';

const SOURCES = ['drivers/gpio/gpio-sim.c', 'drivers/gpio/gpiolib.h', 'kernel/irq/irq_sim.c'] as const;

/** The kernel does not export the left one to modules; the right one is the same for whoever is not inside of it. */
const REPLACED = [['handle_simple_irq(irq_to_desc(irqnum))', 'generic_handle_irq_safe(irqnum)']] as const;

const KBUILD = `obj-m := gpio-sim.o
gpio-sim-y := simulator.o irq_sim.o
`;

interface Build {
  /** With the packages of source and headers, and the headers unpacked in `headers/`. */
  readonly work: string;
  readonly release: string;
  readonly series: string;
}

/**
 * The kernel's own simulator of GPIO chips, which Debian leaves out, as a module. Nothing of it is installed on the
 * host. @returns where the module is
 */
export async function buildGpioSim({ work, release, series }: Build): Promise<string> {
  const directory = join(work, 'gpio-sim');
  await mkdir(directory);
  const top = `linux-source-${series}`;
  await pipeline(
    `dpkg-deb --fsys-tarfile ${top}_*.deb | tar -xO ./usr/src/${top}.tar.xz | xz -dc -T0 | tar -x -C gpio-sim --strip-components=3 "$@"`,
    SOURCES.map((path) => `${top}/${path}`),
    { directory: work },
  );
  await rename(join(directory, 'gpio-sim.c'), join(directory, 'simulator.c'));
  const irqSim = join(directory, 'irq_sim.c');
  await writeFile(irqSim, withReplacements(await readFile(irqSim, 'utf8')));
  await writeFile(join(directory, 'Kbuild'), KBUILD);
  await tool('make', ['-C', await headersInPlace(work, release), `M=${directory}`, 'CC=gcc', 'modules']);
  return join(directory, 'gpio-sim.ko');
}

function withReplacements(source: string): string {
  return REPLACED.reduce((text, [from, to]) => {
    if (!text.includes(from)) throw new Error(`irq_sim.c does not say ${from}: is this another series of kernels?`);
    return text.replace(from, to);
  }, source);
}

/** Debian's headers name each other by where they would be installed. */
async function headersInPlace(work: string, release: string): Promise<string> {
  const headers = join(work, 'headers');
  const makefile = join(headers, 'usr/src', `linux-headers-${release}`, 'Makefile');
  await writeFile(makefile, (await readFile(makefile, 'utf8')).replaceAll('/usr/src/', `${headers}/usr/src/`));
  return join(makefile, '..');
}
