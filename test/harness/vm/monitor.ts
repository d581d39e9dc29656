import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

interface Said {
  readonly event?: string;
  /** The greeting. */
  readonly QMP?: object;
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

/** QEMU's machine protocol: changes the machine while it runs. */
export class Monitor {
  readonly #port: Socket;
  readonly #waiting: ((said: Said) => void)[] = [];

  private constructor(port: Socket) {
    this.#port = port;
    port.on('error', () => port.destroy());
    const lines = createInterface({ input: port });
    // The machine was switched off in the middle of a word.
    lines.on('error', () => {});
    lines.on('line', (line) => {
      const said: Said = JSON.parse(line);
      if (said.event === undefined && said.QMP === undefined) this.#waiting.shift()?.(said);
    });
  }

  static async greeted(port: Socket): Promise<Monitor> {
    const monitor = new Monitor(port);
    await monitor.execute('qmp_capabilities');
    return monitor;
  }

  /** @throws with the reason that QEMU gives */
  async execute(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const answered = new Promise<Said>((resolve) => this.#waiting.push(resolve));
    this.#port.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const { error, return: result } = await answered;
    if (error) throw new Error(`${command}: ${error.desc}`);
    return result;
  }
}
