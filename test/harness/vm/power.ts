import { Commands, type Outcome } from './commands.ts';
import type { FarEnd } from './far-end.ts';
import { Monitor } from './monitor.ts';
import { Qemu, type Machine } from './qemu.ts';

const TAIL_CHARS = 4_000;

type Wire = (monitor: Monitor) => Promise<void>;
type CommandEnds = Readonly<Record<'commands' | 'monitor', FarEnd>>;

interface Running {
  readonly qemu: Qemu;
  readonly monitor: Monitor;
  readonly commands: Commands;
}

/** From switching a kiosk on until its power is cut; it may start anew in between. */
export class Power {
  readonly #boots: string[] = [];
  #wake: () => void = () => {};
  #running: Running;
  #printed = '';
  #isCut = false;
  #failure: unknown = null;
  /** Why nothing is to be expected of it any more. */
  #lost: Error | null = null;

  private constructor(running: Running) {
    this.#running = running;
  }

  /** @param wire connects what is plugged in, at each start of the machine */
  static async on(machine: Machine, ends: CommandEnds, wire: Wire): Promise<Power> {
    const power = new Power(await start(machine, ends));
    void power.#watch(machine, ends, wire).catch((cause: unknown) => {
      power.#failure = cause;
      power.#wake();
    });
    return power;
  }

  get monitor(): Monitor {
    return this.#running.monitor;
  }

  /** What was printed since it was switched on. */
  get console(): string {
    return this.#printed + this.#running.qemu.console;
  }

  /** @throws when it did not come up, or did not answer, which it will not do later either */
  requireAnswers(): void {
    if (this.#lost !== null) throw new Error('The kiosk was lost before', { cause: this.#lost });
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
        if (isLate || this.#isCut || this.#failure !== null) throw this.#lose('The kiosk did not come up');
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** @param script for bash in the guest */
  async run(script: string, withinMs: number): Promise<Outcome> {
    this.requireAnswers();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#lose(`No answer to ${script}`)), withinMs);
    });
    try {
      return await Promise.race([this.#running.commands.run(script), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Everybody who waits for an answer is told. */
  async cut(): Promise<void> {
    this.#isCut = true;
    await this.#running.qemu.kill();
    this.#wake();
  }

  /** Starts it anew whenever it ends by itself. */
  async #watch(machine: Machine, ends: CommandEnds, wire: Wire): Promise<void> {
    for (;;) {
      const { qemu, monitor, commands } = this.#running;
      commands.onReady((bootId) => {
        this.#boots.push(bootId);
        this.#wake();
      });
      await wire(monitor);
      await qemu.over();
      commands.abandon(`${this.#isCut ? 'The kiosk is off' : 'The kiosk started anew'}\n${this.#tail()}`);
      if (this.#isCut) return;
      if (qemu.hasFailed) throw new Error(`QEMU failed\n${this.#tail()}`);
      this.#printed = this.console;
      await machine.disk.powerOn();
      this.#running = await start(machine, ends);
      this.#lost = null;
    }
  }

  #lose(how: string): Error {
    this.#lost = new Error(`${how}\n${this.#tail()}`, { cause: this.#failure });
    return this.#lost;
  }

  #tail(): string {
    return this.console.slice(-TAIL_CHARS);
  }
}

async function start(machine: Machine, ends: CommandEnds): Promise<Running> {
  const connected = Promise.all([ends.commands.connected(), ends.monitor.connected()]);
  const qemu = Qemu.start(machine);
  const sockets = await Promise.race([connected, qemu.over()]);
  if (!sockets) throw new Error(`QEMU did not start: ${qemu.console}`);
  const [commands, monitor] = sockets;
  return { qemu, monitor: await Monitor.greeted(monitor), commands: new Commands(commands) };
}
