import { createOutputs, type Outputs } from './act/outputs.ts';
import type { AgentConfig } from './config.ts';
import type { Clock } from './ports.ts';
import { GpioError, type ChipFacts, type Gpio, type OutputSettings } from './ports-gpio.ts';
import type { Log } from './report/log.ts';

/** Loaded only where a configuration names GPIO lines. */
const loadGpio = async (): Promise<Gpio> => (await import('./adapters/gpio.ts')).createGpio();

export const namesGpio = ({ ports }: AgentConfig): boolean => Object.values(ports).some(({ kind }) => kind === 'gpio');

/** Every chip of the machine that may be opened, with who has its lines. */
export const findChips = async (): Promise<ChipFacts[]> => (await loadGpio()).chips();

/** Every output of the configuration, held and safe when this resolves, as far as it can be had. */
export async function holdOutputs(config: AgentConfig, clock: Clock, log: Log): Promise<Outputs> {
  const outputs = createOutputs(config, { loadGpio, clock, random: Math.random, log });
  await outputs.open();
  return outputs;
}

export interface SafeOutput {
  readonly output: string;
  readonly safe: boolean;
  /** Null when it is safe. */
  readonly fault: { readonly code: string; readonly message: string } | null;
}

/** Makes every output safe that nobody holds, and lets it go: for when the agent is gone. */
export async function makeOutputsSafe({ outputs, ports }: AgentConfig): Promise<SafeOutput[]> {
  const entries = Object.entries(outputs);
  if (entries.length === 0) return [];
  const gpio = await loadGpio();
  return entries.map(([output, { safe, target }]) => {
    const port = ports[target.port];
    return { output, safe, fault: faultOf(() => setOnce(gpio, port?.kind === 'gpio' ? port.chip : '', target, safe)) };
  });
}

const setOnce = (gpio: Gpio, chip: string, target: OutputSettings, safe: boolean): void =>
  gpio.chip(chip).output(target, safe, 'paddock:safe').close();

function faultOf(work: () => void): SafeOutput['fault'] {
  try {
    work();
    return null;
  } catch (cause) {
    if (cause instanceof GpioError) return { code: cause.code, message: cause.message };
    throw cause;
  }
}
