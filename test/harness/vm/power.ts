import { Commands, type Outcome } from './commands.ts';
import type { FarEnd } from './far-end.ts';
import { Monitor } from './monitor.ts';
import { Qemu, type Machine } from './qemu.ts';

const TAIL_CHARS = 4_000;

/** From switching a kiosk on until its power is cut; it may boot several times in between. */
export class Power {
  readonly qemu: Qemu;
  readonly monitor: Monitor;
  readonly #commands: Commands;
  readonly #boots: string[] = [];
  #wake: () => void = () => {};

  private constructor(qemu: Qemu, monitor: Monitor, commands: Commands) {
    this.qemu = qemu;
    this.monitor = monitor;
    this.#commands = commands;
    commands.onReady((bootId) => {
      commands.abandon(`The kiosk started anew\n${this.#tail()}`);
      this.#boots.push(bootId);
      this.#wake();
    });
    void qemu.over().then(() => {
      commands.abandon(`The kiosk is off\n${this.#tail()}`);
      this.#wake();
    });
  }

  static async on(machine: Machine, ends: Readonly<Record<'commands' | 'monitor', FarEnd>>): Promise<Power> {
    const connected = Promise.all([ends.commands.connected(), ends.monitor.connected()]);
    const qemu = Qemu.start(machine);
    const sockets = await Promise.race([connected, qemu.over()]);
    if (!sockets) throw new Error(`QEMU did not start: ${qemu.console}`);
    const [commands, monitor] = sockets;
    return new Power(qemu, await Monitor.greeted(monitor), new Commands(commands));
  }

  /** How often it has come up. */
  get boots(): number {
    return this.#boots.length;
  }

  /** @returns the id of the boot with this number, from 0, as soon as it has come up */
  async boot(number: number, withinMs: number): Promise<string> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.#wake();
    }, withinMs);
    try {
      for (;;) {
        const id = this.#boots[number];
        if (id !== undefined) return id;
        if (isLate || this.qemu.isOver) throw new Error(`The kiosk did not come up\n${this.#tail()}`);
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param script for bash in the guest */
  async run(script: string, withinMs: number): Promise<Outcome> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const say = (): void => reject(new Error(`No answer to ${script}\n${this.#tail()}`));
      timer = setTimeout(say, withinMs);
    });
    try {
      return await Promise.race([this.#commands.run(script), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Everybody who waits for an answer is told. */
  async cut(): Promise<void> {
    await this.qemu.kill();
  }

  #tail(): string {
    return this.qemu.console.slice(-TAIL_CHARS);
  }
}
