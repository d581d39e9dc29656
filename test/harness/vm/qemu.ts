import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { KioskParts } from './prepare.ts';

const PROGRAM = 'qemu-system-x86_64';
const CONSOLE_CHARS = 200_000;

/** Sockets in its directory that somebody listens on. */
export type SocketName = 'commands' | 'monitor' | 'uart0' | 'uart1' | 'usb';

/** What one machine consists of besides the parts that all of them share. */
export interface Machine {
  readonly parts: KioskParts;
  /** A directory of its own, where its sockets are. */
  readonly home: string;
  /** Its own disk, ext4. */
  readonly disk: string;
  /** The first program after the root is there. */
  readonly init: string;
  /** Directories of the host that the guest may read, by the tags that it mounts them by. */
  readonly shares: Readonly<Record<string, string>>;
  readonly memoryMiB: number;
}

/** QEMU while it runs: power is on. */
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

const KERNEL_WORDS = [
  'console=ttyS0',
  'quiet',
  'panic=5',
  // Software emulation needs no protection from its own processor.
  'mitigations=off',
  'no_timer_check',
  'tsc=reliable',
  'net.ifnames=0',
  'random.trust_cpu=on',
];

function argumentsOf({ home, parts, disk, init, shares, memoryMiB }: Machine): string[] {
  const socket = (id: SocketName): string[] => ['-chardev', `socket,id=${id},path=${join(home, id)}`];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', String(memoryMiB), '-M', 'q35'],
    ...['-kernel', parts.kernel, '-initrd', parts.ramDisk],
    ...['-append', [...KERNEL_WORDS, `kiosk.init=${init}`].join(' ')],
    ...['-chardev', 'stdio,id=console,signal=off', '-serial', 'chardev:console'],
    ...[...socket('uart0'), '-serial', 'chardev:uart0', ...socket('uart1'), '-serial', 'chardev:uart1'],
    ...[
      '-device',
      'virtio-serial-pci',
      ...socket('commands'),
      '-device',
      'virtserialport,chardev=commands,name=commands',
    ],
    ...[...socket('monitor'), '-mon', 'chardev=monitor,mode=control'],
    ...['-device', 'qemu-xhci,id=xhci', ...socket('usb')],
    ...['-drive', `file=${parts.base},format=raw,readonly=on,if=virtio`],
    ...['-drive', `file=${disk},format=raw,if=virtio`],
    ...['-nic', 'user,model=virtio-net-pci', '-device', 'virtio-rng-pci'],
    ...['-device', 'i6300esb', '-action', 'watchdog=reset,panic=none'],
    ...Object.entries(shares).flatMap(([tag, path]) => [
      '-virtfs',
      `local,path=${path},mount_tag=${tag},security_model=none,readonly=on,multidevs=remap`,
    ]),
  ];
}
