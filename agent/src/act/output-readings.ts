import type { Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock } from '../ports.ts';
import { LiveSensor } from '../sense/live-sensor.ts';
import type { SensorConfig } from '../sense/settings.ts';
import type { Outputs } from './outputs.ts';
import type { OutputState } from './output.ts';
import type { ActConfig, OutputConfig } from './settings.ts';

/** The reading that says what an output is. */
export const outputReading = (output: string): string => `output.${output}`;

/** Nothing is read from an output that cannot be asked, and what it was told is no older for that: more than 31 years. */
const NEVER_STALE_MS = 1_000_000_000_000;
const SOURCE = { kind: 'simulated', port: '', wave: 'constant', periodMs: 1, low: 0, high: 0 } as const;
const DISCRETE = { debounceMs: 0, urgent: false, chatter: { changes: 20, windowMs: 10_000 } } as const;

/** What an output is as a sensor, so that its changes are told, counted and kept as those of any other. */
export function sensorOfOutput(config: OutputConfig): SensorConfig {
  const common = { source: { ...SOURCE, scale: 1, offset: 0 }, maxAgeMs: NEVER_STALE_MS };
  switch (config.kind) {
    case 'binary':
      return { kind: 'binary', ...common, ...DISCRETE };
    case 'enum':
      return { kind: 'enum', values: [...config.values], ...common, ...DISCRETE };
    case 'number':
      return { kind: 'number', ...common, ...(config.unit !== undefined && { unit: config.unit }) };
    case 'text':
      return { kind: 'text', ...common };
  }
}

/** @returns what all outputs are, at a moment */
export function watchOutputs(
  { outputs }: ActConfig,
  driven: Pick<Outputs, 'states' | 'watch'>,
  clock: Clock,
  closing: AbortSignal,
): (at?: UptimeMs) => Record<string, Reading> {
  const live = new Map(
    Object.entries(outputs).map(([name, config]) => [name, new LiveSensor(sensorOfOutput(config), clock, closing)]),
  );
  const hear = (name: string, { actual, fault }: OutputState): void => {
    const at = clock.monotonic();
    const nobody = (): void => undefined;
    if (fault !== null && actual === null) live.get(name)?.input({ kind: 'fault', reason: fault.reason, at }, nobody);
    else if (actual !== null) live.get(name)?.input({ kind: 'sample', value: actual, at }, nobody);
  };
  for (const [name, state] of Object.entries(driven.states())) hear(name, state);
  driven.watch(hear);
  return (at = clock.monotonic()) =>
    Object.fromEntries([...live].map(([name, sensor]) => [outputReading(name), sensor.reading(at)]));
}
