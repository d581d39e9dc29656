import { createOutputs, type Outputs } from './act/outputs.ts';
import { OutputsKey } from './act/desired-outputs.ts';
import { watchOutputs } from './act/output-readings.ts';
import type { OutputState } from './act/output.ts';
import type { OutputValue } from './act/settings.ts';
import type { AgentConfig } from './config.ts';
import type { Clock } from './ports.ts';
import type { ChipFacts, Gpio } from './ports-gpio.ts';
import type { Log } from './report/log.ts';
import type { SensorSource } from './report/parts.ts';
import { createSensing, type Sensing } from './sensing.ts';

/** Loaded only where a configuration names GPIO lines. */
const loadGpio = async (): Promise<Gpio> => (await import('./adapters/gpio.ts')).createGpio();

export const namesGpio = ({ ports }: AgentConfig): boolean => Object.values(ports).some(({ kind }) => kind === 'gpio');

/** Every chip of the machine that may be opened, with who has its lines. */
export const findChips = async (): Promise<ChipFacts[]> => (await loadGpio()).chips();

/** Every output of the configuration, held and safe when this resolves, as far as it can be had at once. */
export async function holdOutputs(config: AgentConfig, sensing: Sensing, clock: Clock, log: Log): Promise<Outputs> {
  const port = (name: string): ReturnType<Sensing['port']> => sensing.port(name);
  const outputs = createOutputs(config, { loadGpio, port, clock, random: Math.random, log });
  // Those that outputs need are open from now on; what sensors of them read waits for the session.
  const used = Object.values(config.outputs).flatMap(({ target }) => (target.kind === 'gpio' ? [] : [target.port]));
  sensing.openPorts(used);
  await outputs.open();
  return outputs;
}

/** What outputs come to in a session: what is desired of them, what is reported, and their end. */
export interface Acting {
  readonly key: OutputsKey;
  /** The same sensors, and beside them what outputs are. Outputs are safe before the ports close. */
  withOutputs(sensors: SensorSource): SensorSource;
  /** Every output is safe from now on, whatever is desired. Resolves when it is, as far as it can be. */
  end(): Promise<void>;
}

export function beginActing(config: AgentConfig, driven: Outputs, clock: Clock, log: Log): Acting {
  const closing = new AbortController();
  const key = new OutputsKey({ outputs: config.outputs, driven, clock, log });
  const readings = watchOutputs(config, driven, clock, closing.signal);
  let ended: Promise<void> | null = null;
  const end = (): Promise<void> => {
    key.stop();
    closing.abort();
    ended ??= driven.close();
    return ended;
  };
  return {
    key,
    end,
    withOutputs: (sensors) => ({
      open: (events) => sensors.open(events),
      readings: (at = clock.monotonic()) => ({ ...sensors.readings(at), ...readings(at) }),
      // Hardware that is slow is no reason to wait.
      settling: () => sensors.readings(),
      close: () => end().then(() => sensors.close()),
    }),
  };
}

export interface SafeOutput {
  readonly output: string;
  readonly safe: OutputValue;
  /** Null when it is safe. */
  readonly fault: { readonly code: string; readonly message: string } | null;
}

/** How long hardware on a port has to become safe. */
const SAFE_WITHIN_MS = 3_000;
const LOOK_EVERY_MS = 20;
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** Makes every output safe that has a safe level and that nobody holds, and lets it go: for when the agent is gone. */
export async function makeOutputsSafe(config: AgentConfig, clock: Clock): Promise<SafeOutput[]> {
  if (Object.keys(config.outputs).length === 0) return [];
  const sensing = createSensing(config, clock);
  const driven = await holdOutputs(config, sensing, clock, SILENT);
  const until = clock.monotonic() + SAFE_WITHIN_MS;
  const isOver = (): boolean => clock.monotonic() >= until;
  while (!isOver() && Object.values(driven.states()).some(isOnItsWay)) await clock.sleep(LOOK_EVERY_MS);
  const states = driven.states();
  await driven.close();
  await sensing.close();
  return Object.entries(states).flatMap(([output, { wanted, actual, fault }]) =>
    wanted === null ? [] : [{ output, safe: wanted, fault: faultOf(actual === wanted, fault) }],
  );
}

/** A line of GPIO was had at once, or cannot be had; hardware behind a port may answer to the next attempt. */
const isOnItsWay = ({ wanted, actual, fault }: OutputState): boolean =>
  wanted !== null && actual !== wanted && (fault === null || !fault.code.startsWith('gpio_'));

function faultOf(isSafe: boolean, fault: OutputState['fault']): SafeOutput['fault'] {
  if (isSafe) return null;
  if (fault === null) return { code: 'output_no_answer', message: 'It was not done in time' };
  return { code: fault.code, message: fault.detail };
}
