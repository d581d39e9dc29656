import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './commands.ts';
import { Disk, type Survives } from './disk.ts';
import { FarEnd } from './far-end.ts';
import { Gpio } from './gpio.ts';
import { Memory } from './memory.ts';
import { Power } from './power.ts';
import { prepareKiosk, type KioskParts } from './prepare.ts';
import type { Machine, SocketName } from './qemu.ts';
import { UsbAdapter } from './usb-adapter.ts';

const INITS = { systemd: '/sbin/init', bare: '/opt/kiosk/bare.sh' } as const;
const BOOT_MS = 300_000;
const COMMAND_MS = 120_000;

export interface KioskOptions {
  /** What runs it; `bare` is up sooner, and knows no services. */
  readonly init?: keyof typeof INITS;
  /** Directories of this machine that the guest may read: `mount -t 9p TAG DIRECTORY`. */
  readonly shares?: Readonly<Record<string, string>>;
  readonly diskMiB?: number;
  /** What it starts from: the image of a disk that is its own from now on. */
  readonly bootDisk?: string;
}

type Ends = Readonly<Record<SocketName, FarEnd>>;

/** A kiosk with a kernel of its own. What it wrote to its disk outlives its power. */
export class Kiosk {
  readonly gpio = new Gpio(async (script) => this.succeed(script));
  readonly usb: UsbAdapter;
  readonly #ends: Ends;
  readonly #machine: Machine;
  /** What was printed before the last cut. */
  #printed = '';
  #power: Power | null = null;

  private constructor(ends: Ends, machine: Machine) {
    this.#ends = ends;
    this.#machine = machine;
    this.usb = new UsbAdapter(ends.usb, () => this.#on().monitor);
  }

  /** Everything but the power. */
  static async assemble(parts: KioskParts, options: KioskOptions = {}): Promise<Kiosk> {
    const { init = 'systemd', shares = {}, diskMiB = 512, bootDisk = null } = options;
    const home = await mkdtemp(join(tmpdir(), 'paddock-vm-'));
    const disk = await Disk.make(home, diskMiB);
    const memory = new Memory();
    return new Kiosk(await listenFor(home), { home, parts, disk, bootDisk, memory, init: INITS[init], shares });
  }

  /** What is wired to /dev/ttyS1 and /dev/ttyS2; ttyS0 is the console. */
  get uarts(): readonly [FarEnd, FarEnd] {
    return [this.#ends.uart0, this.#ends.uart1];
  }

  /** What kernel and first program printed, over all boots. */
  get console(): string {
    return this.#printed + (this.#power?.console ?? '');
  }

  /** @throws when it was lost, and every test to come would only wait for it */
  requireAnswers(): void {
    this.#power?.requireAnswers();
  }

  /** @returns the boot's id, when it runs commands */
  async powerOn(): Promise<string> {
    if (this.#power !== null) throw new Error('The kiosk is on');
    await this.#machine.disk.powerOn();
    this.#power = await Power.on(this.#machine, this.#ends, async (monitor) => this.usb.connect(monitor));
    return this.#power.boot(0, BOOT_MS);
  }

  /** Everything that was in memory is lost, and what the disk had not been told to flush, unless it `survives`. */
  async cutPower(survives: Survives = () => false): Promise<void> {
    const power = this.#on();
    await power.cut();
    this.#machine.memory.clear();
    await this.#machine.disk.cut(survives);
    this.#printed = this.console;
    this.#power = null;
  }

  /** @param script makes the kiosk start anew, at once or later. @returns the next boot's id */
  async rebooted(script: string): Promise<string> {
    const power = this.#on();
    const next = power.boot(power.boots, BOOT_MS);
    // Its answer may or may not come before everything ends.
    power.run(script, BOOT_MS).catch(() => undefined);
    return next;
  }

  /** @param script for bash, as root */
  async run(script: string, withinMs = COMMAND_MS): Promise<Outcome> {
    return this.#on().run(script, withinMs);
  }

  /** Runs what has to succeed. @returns what it printed */
  async succeed(script: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(script);
    if (code !== 0) throw new Error(`Ended with ${code}: ${script}\n${stderr}`);
    return stdout;
  }

  /** @param path whose directory is there */
  async writeFile(path: string, content: string): Promise<void> {
    await this.succeed(`base64 -d > '${path}' <<'END'\n${Buffer.from(content).toString('base64')}\nEND\n`);
  }

  /** Switches it off for good. */
  async close(): Promise<void> {
    await this.#power?.cut();
    for (const end of Object.values(this.#ends)) end.close();
    this.#machine.memory.close();
    await rm(this.#machine.home, { recursive: true });
  }

  #on(): Power {
    if (this.#power === null) throw new Error('The kiosk is off');
    return this.#power;
  }
}

async function listenFor(home: string): Promise<Ends> {
  const at = async (name: SocketName): Promise<FarEnd> => FarEnd.listen(join(home, name));
  return {
    commands: await at('commands'),
    monitor: await at('monitor'),
    uart0: await at('uart0'),
    uart1: await at('uart1'),
    usb: await at('usb'),
  };
}

/** A kiosk that has booted; `close` is the caller's. */
export async function bootKiosk(options: KioskOptions = {}): Promise<Kiosk> {
  const kiosk = await Kiosk.assemble(await prepareKiosk(), options);
  try {
    await kiosk.powerOn();
  } catch (cause) {
    await kiosk.close();
    throw cause;
  }
  return kiosk;
}
