import type { Clock } from '../ports.ts';
import type { Gpio } from '../ports-gpio.ts';
import type { Log } from '../report/log.ts';
import type { SenseConfig } from '../sense/settings.ts';
import { HeldOutput, type OutputState } from './held-output.ts';
import type { ActConfig } from './settings.ts';

/** Everything that the configuration says about outputs, held from the agent's start to its end. */
export interface Outputs {
  /** Resolves when each was asked for once: from then on all that can be had are safe. */
  open(): Promise<void>;
  /**
   * Sets an output, which stays so until it is set again: over a chip that goes and comes back, too.
   * @returns what was read back
   * @throws GpioError when it cannot be set now; it is set as soon as it can be
   */
  set(name: string, level: boolean): boolean;
  states(): Record<string, OutputState>;
  /** Every output is safe, at once, and let go: for the moment at which the process ends. Never throws. */
  release(): void;
  close(): Promise<void>;
}

export interface OutputParts {
  /** Loaded only if there are outputs. */
  readonly loadGpio: () => Promise<Gpio>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Makes every output of the configuration. Holds none yet. */
export function createOutputs({ outputs, ports }: ActConfig & Pick<SenseConfig, 'ports'>, parts: OutputParts): Outputs {
  const held = new Map(
    Object.entries(outputs).map(([name, config]) => {
      const port = ports[config.target.port];
      const chip = async () => (await parts.loadGpio()).chip(port?.kind === 'gpio' ? port.chip : '');
      const changed = (fault: OutputState['fault']): void => tell(parts.log, name, fault);
      const { clock, random } = parts;
      return [name, new HeldOutput({ name, config, chip, clock, random, changed })];
    }),
  );
  return {
    open: async () => void (await Promise.all([...held.values()].map((output) => output.open()))),
    set(name, level) {
      const output = held.get(name);
      if (output === undefined) throw new Error(`There is no output ${name}`);
      return output.set(level);
    },
    states: () => Object.fromEntries([...held].map(([name, output]) => [name, output.state()])),
    release: () => held.forEach((output) => output.release()),
    close: async () => void (await Promise.all([...held.values()].map((output) => output.close()))),
  };
}

function tell(log: Log, output: string, fault: OutputState['fault']): void {
  if (fault === null) log.info({ code: 'output_held', output }, 'The output is held again');
  else log.warn({ code: fault.code, output }, `The output is not held: ${fault.detail}`);
}
