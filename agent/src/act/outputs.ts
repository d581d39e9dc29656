import type { Clock, SensorPort } from '../ports.ts';
import type { Gpio } from '../ports-gpio.ts';
import type { Log } from '../report/log.ts';
import type { SenseConfig } from '../sense/settings.ts';
import { commandActuator, registerActuator, type Actuator } from './actuators.ts';
import { HeldOutput } from './held-output.ts';
import type { Output, OutputState } from './output.ts';
import { SentOutput } from './sent-output.ts';
import { isLineConfig, type ActConfig, type OutputConfig, type OutputValue } from './settings.ts';

/** Everything that the configuration says about outputs, held from the agent's start to its end. */
export interface Outputs {
  /** Resolves when each was asked for once: from then on all that can be had at once are safe. */
  open(): Promise<void>;
  /**
   * What an output shall be until something else is wanted of it, over hardware that goes and comes back, too. What
   * cannot be now is told by its state, and made so as soon as it can be.
   * @param value null: its safe level, where it has one
   */
  set(name: string, value: OutputValue | null): void;
  states(): Record<string, OutputState>;
  /** @param changed hears when a state is another one */
  watch(changed: (name: string, state: OutputState) => void): void;
  /** Lines are safe, at once, and let go: for the moment at which the process ends. Never throws. */
  release(): void;
  /** Every output is safe, as far as it can be, and let go. Its ports are still open. */
  close(): Promise<void>;
}

export interface OutputParts {
  /** Loaded only if there are outputs on lines of GPIO. */
  readonly loadGpio: () => Promise<Gpio>;
  /** Those of the sensors, by name. */
  readonly port: (name: string) => Pick<SensorPort, 'shared'> | undefined;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/** Makes every output of the configuration. Holds none yet. */
export function createOutputs(config: ActConfig & Pick<SenseConfig, 'ports'>, parts: OutputParts): Outputs {
  const watching: ((name: string, state: OutputState) => void)[] = [];
  const made = new Map(
    Object.entries(config.outputs).map(([name, output]): [string, Output] => {
      const tell = createTeller(parts.log, name);
      const changed = (): void => {
        const state = one.state();
        tell(state);
        watching.forEach((hear) => hear(name, state));
      };
      const one = create(name, output, config, { ...parts, changed });
      return [name, one];
    }),
  );
  const all = [...made.values()];
  return {
    open: async () => void (await Promise.all(all.map((output) => output.open()))),
    set(name, value) {
      const output = made.get(name);
      if (output === undefined) throw new Error(`There is no output ${name}`);
      output.want(value ?? config.outputs[name]?.safe ?? null);
    },
    states: () => Object.fromEntries([...made].map(([name, output]) => [name, output.state()])),
    watch: (changed) => void watching.push(changed),
    release: () => all.forEach((output) => output.release()),
    close: async () => void (await Promise.all(all.map((output) => output.close()))),
  };
}

function create(
  name: string,
  config: OutputConfig,
  { ports }: Pick<SenseConfig, 'ports'>,
  parts: OutputParts & { readonly changed: () => void },
): Output {
  const { clock, random, changed } = parts;
  if (isLineConfig(config)) {
    const port = ports[config.target.port];
    const chip = async () => (await parts.loadGpio()).chip(port?.kind === 'gpio' ? port.chip : '');
    return new HeldOutput({ name, config, chip, clock, random, changed });
  }
  const { retries, checkMs } = sentTarget(config);
  const actuator = actuatorOf(config, parts.port(config.target.port));
  return new SentOutput({ safe: config.safe ?? null, actuator, retries, checkMs, clock, random, changed });
}

const sentTarget = ({ target }: OutputConfig): { retries: number; checkMs: number } =>
  target.kind === 'gpio' ? { retries: 0, checkMs: 0 } : target;

/** The reader of the configuration has seen that port and target are of one kind. */
function actuatorOf(config: OutputConfig, port: Pick<SensorPort, 'shared'> | undefined): Actuator {
  const { target } = config;
  const shared = port?.shared;
  if (target.kind === 'serial-lines' && shared && 'line' in shared) return commandActuator(config, target, shared.line);
  if (target.kind === 'modbus-rtu' && shared && 'bus' in shared) return registerActuator(config, target, shared.bus);
  throw new Error(`The port ${target.port} drives nothing`);
}

/** @returns what says in the log when a fault begins, changes or ends */
function createTeller(log: Log, output: string): (state: OutputState) => void {
  let told: string | null = null;
  return ({ fault }) => {
    const detail = fault?.detail ?? null;
    if (detail === told) return;
    told = detail;
    if (fault === null) log.info({ code: 'output_held', output }, 'The output is held again');
    else log.warn({ code: fault.code, output }, `The output is not held: ${fault.detail}`);
  };
}
