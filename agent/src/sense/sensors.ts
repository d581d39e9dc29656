import type { QualityReason, Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, PortStatus, SensorPort, SensorSink } from '../ports.ts';
import { LiveSensor } from './live-sensor.ts';
import type { SensorInput } from './sensor.ts';
import type { SenseConfig } from './settings.ts';

export interface SensorEvents {
  /** A sensor marked urgent has changed, after its debounce. */
  urgent(sensor: string): void;
  event(name: string, data: Record<string, unknown>, at: UptimeMs): void;
}

/** A port and what it brought since the start. */
export interface PortState extends PortStatus {
  readonly name: string;
  readonly samples: number;
  readonly faults: Readonly<Partial<Record<QualityReason, number>>>;
}

export interface Sensors {
  open(events: SensorEvents): void;
  /** Every sensor of the configuration, all at the same moment: now, or that of the report. */
  readings(at?: UptimeMs): Record<string, Reading>;
  ports(): PortState[];
  close(): Promise<void>;
}

interface Tally {
  samples: number;
  faults: Partial<Record<QualityReason, number>>;
}

/** Everything that the configuration says about sensing, running on ports that were built for it. */
export function createSensors(options: { config: SenseConfig; ports: readonly SensorPort[]; clock: Clock }): Sensors {
  const { config, ports, clock } = options;
  const closing = new AbortController();
  const live = new Map(
    Object.entries(config.sensors).map(([name, sensor]) => [name, new LiveSensor(sensor, clock, closing.signal)]),
  );
  const tallies = new Map<string, Tally>(ports.map(({ name }) => [name, { samples: 0, faults: {} }]));
  return {
    open: (events) => {
      const input = (name: string, what: SensorInput): void => live.get(name)?.input(what, () => events.urgent(name));
      for (const port of ports) port.open(sinkFor(input, events, tallies.get(port.name)));
    },
    readings: (at = clock.monotonic()) =>
      Object.fromEntries([...live].map(([name, sensor]) => [name, sensor.reading(at)])),
    ports: () => ports.map((port) => stateOf(port, tallies.get(port.name))),
    close: async () => {
      closing.abort();
      await Promise.all(ports.map((port) => port.close()));
    },
  };
}

function sinkFor(
  input: (name: string, what: SensorInput) => void,
  events: SensorEvents,
  tally: Tally = { samples: 0, faults: {} },
): SensorSink {
  return {
    sample: (name, value, at) => {
      tally.samples += 1;
      input(name, { kind: 'sample', value, at });
    },
    fault: (name, reason, at) => {
      tally.faults[reason] = (tally.faults[reason] ?? 0) + 1;
      input(name, { kind: 'fault', reason, at });
    },
    gap: (name, at) => input(name, { kind: 'gap', at }),
    event: (name, data, at) => events.event(name, data, at),
  };
}

const stateOf = (port: SensorPort, tally: Tally = { samples: 0, faults: {} }): PortState => ({
  name: port.name,
  ...port.status(),
  samples: tally.samples,
  faults: { ...tally.faults },
});
