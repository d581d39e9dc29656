import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Disk } from './disk.ts';
import type { Memory } from './memory.ts';
import type { KioskParts } from './prepare.ts';

const PROGRAM = 'qemu-system-x86_64';
const CONSOLE_CHARS = 200_000;
const MEMORY_MIB = 768;

/** Sockets in its directory that somebody listens on. */
export const SOCKETS = ['commands', 'monitor', 'uart0', 'uart1', 'usb'] as const;
export type SocketName = (typeof SOCKETS)[number];

/** What one machine consists of besides the parts that all of them share. */
export interface Machine {
  readonly parts: KioskParts;
  /** A directory of its own, where its sockets are. */
  readonly home: string;
  readonly disk: Disk;
  /** The image of a disk with a boot loader on it; without one QEMU loads the kernel. */
  readonly bootDisk: string | null;
  readonly memory: Memory;
  /** The first program after the root is there. */
  readonly init: string;
  /** Directories of the host that the guest may read, by the tags that it mounts them by. */
  readonly shares: Readonly<Record<string, string>>;
}

/**
 * QEMU from a start of the machine to its next one, or to the end of its power. A machine that starts anew is a QEMU that
 * ends and one that begins: software emulation that lived through a reset takes minutes at times to get up again.
 */
export class Qemu {
  readonly #process: ChildProcess;
  #console = '';

  private constructor(child: ChildProcess) {
    this.#process = child;
    const keep = (chunk: Buffer): void => {
      this.#console = (this.#console + chunk.toString()).slice(-CONSOLE_CHARS);
    };
    child.stdout?.on('data', keep);
    child.stderr?.on('data', keep);
  }

  static start(machine: Machine): Qemu {
    // A machine ends with the test that started it, however that ends.
    return new Qemu(spawn('setpriv', ['--pdeathsig', 'KILL', PROGRAM, ...argumentsOf(machine)]));
  }

  /** What the kernel and the first program printed, and what QEMU complained about. */
  get console(): string {
    return this.#console;
  }

  get isOver(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Whether it ended as no machine makes it end. */
  get hasFailed(): boolean {
    return this.isOver && this.#process.exitCode !== 0;
  }

  async over(): Promise<void> {
    if (!this.isOver) await once(this.#process, 'exit');
  }

  /** Nothing is written first. */
  async kill(): Promise<void> {
    if (this.isOver) return;
    this.#process.kill('SIGKILL');
    await this.over();
  }
}

/** As much as there is, less what costs software emulation more than it is worth here. */
const PROCESSOR = 'max,la57=off,smap=off,smep=off';
const KERNEL_WORDS = [
  'console=ttyS0',
  'quiet',
  'panic=5',
  // Software emulation needs no protection from its own processor.
  'mitigations=off',
  'init_on_alloc=0',
  'no_timer_check',
  'tsc=reliable',
  'net.ifnames=0',
  'random.trust_cpu=on',
  // The second one comes later: see guest/init.sh.
  'maxcpus=1',
  // Where a panic is written to: see modprobe.d in the guest.
  'memmap=1M$752M',
];

/** What the kernel is told. @param init the first program after the root is there */
export const kernelWords = (init: string): string => [...KERNEL_WORDS, `kiosk.init=${init}`].join(' ');

function argumentsOf({ home, parts, disk, bootDisk, memory, init, shares }: Machine): string[] {
  const devices = [
    'virtio-blk-pci,drive=base',
    'virtio-blk-pci,drive=disk',
    ...(bootDisk === null ? [] : ['virtio-blk-pci,drive=boot,bootindex=0']),
    'virtio-serial-pci',
    'virtserialport,chardev=commands,name=commands',
    'virtio-rng-pci',
    'qemu-xhci,id=xhci',
    'i6300esb',
  ];
  return [
    ['-nodefaults', '-no-user-config', '-display', 'none', '-nic', 'user,model=virtio-net-pci'],
    ['-accel', 'tcg,thread=multi', '-cpu', PROCESSOR, '-smp', '2', '-m', `${MEMORY_MIB}`],
    ['-object', `memory-backend-file,id=ram,size=${MEMORY_MIB}M,mem-path=${memory.path},share=on`],
    ['-M', 'q35,memory-backend=ram'],
    bootDisk === null
      ? ['-kernel', parts.kernel, '-initrd', parts.ramDisk, '-append', kernelWords(init)]
      : ['-blockdev', `driver=file,node-name=boot,filename=${bootDisk}`],
    ['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    SOCKETS.flatMap((name) => ['-chardev', `socket,id=${name},path=${join(home, name)}`]),
    ['-serial', 'chardev:uart0', '-serial', 'chardev:uart1', '-mon', 'chardev=monitor,mode=control'],
    ['-blockdev', `driver=file,node-name=base,filename=${parts.base},read-only=on`],
    disk.blockDevices.flatMap((device) => ['-blockdev', device]),
    devices.flatMap((device) => ['-device', device]),
    ['-action', 'watchdog=reset,panic=none,reboot=shutdown'],
    ...Object.entries(shares).map(([tag, path]) => ['-virtfs', shareOf(tag, path)]),
  ].flat();
}

/** multidevs: a checkout's parts may be on several file systems. */
const shareOf = (tag: string, path: string): string =>
  `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`;
