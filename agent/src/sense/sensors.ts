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
  /** Opens these already, because outputs need them. What happens on them before {@link open} is not told. */
  openPorts(names: readonly string[]): void;
  /** Opens all others, and tells from now on. */
  open(events: SensorEvents): void;
  /** Every sensor of the configuration, all at the same moment: now, or that of the report. */
  readings(at?: UptimeMs): Record<string, Reading>;
  ports(): PortState[];
  close(): Promise<void>;
}

const UNHEARD: SensorEvents = { urgent: () => undefined, event: () => undefined };

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
  let told: SensorEvents = UNHEARD;
  const opened = new Set<string>();
  const input = (name: string, what: SensorInput): void => live.get(name)?.input(what, () => told.urgent(name));
  const event: SensorEvents['event'] = (...happened) => told.event(...happened);
  const openPort = (port: SensorPort): void => {
    if (opened.has(port.name)) return;
    opened.add(port.name);
    port.open(sinkFor(input, { event }, tallies.get(port.name)));
  };
  return {
    openPorts: (names) => ports.filter(({ name }) => names.includes(name)).forEach(openPort),
    open: (events) => {
      told = events;
      ports.forEach(openPort);
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
  events: Pick<SensorEvents, 'event'>,
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
