import type { Clock, DuplexStream, RegisterBus, SensorPort } from '../ports.ts';
import type { Gpio } from '../ports-gpio.ts';
import type { DriverHost } from '../ports-driver.ts';
import { DriverPort } from './driver-port.ts';
import { GpioPort } from './gpio-port.ts';
import { LinePort } from './line-port.ts';
import type { WantedPin } from './pin-line.ts';
import { RegisterPort } from './register-port.ts';
import type {
  DriverSource,
  LineSource,
  ModbusRtuConfig,
  PinSource,
  PortConfig,
  RegisterSource,
  SenseConfig,
  SerialLinesConfig,
  SimulatedConfig,
  Source,
  WaveSource,
} from './settings.ts';

/** The technology that ports are made of, handed over by the program. */
export interface PortParts {
  openSerial(line: SerialLinesConfig): DuplexStream;
  openBus(line: ModbusRtuConfig): RegisterBus;
  /** The machine's chips: loaded when the first one is opened. */
  loadGpio(): Promise<Gpio>;
  /** What runs plug-in drivers: loaded when the first one is opened. */
  loadDrivers(): Promise<DriverHost>;
  openSimulated(port: {
    name: string;
    pollMs: SimulatedConfig['pollMs'];
    sensors: ReadonlyMap<string, WaveSource>;
  }): SensorPort;
  readonly clock: Clock;
  /** From 0 to 1; spreads the attempts to open a port again. */
  random(): number;
}

/** Makes every port of the configuration, with the sensors and events that it serves. Opens none. */
export function buildPorts(config: SenseConfig, parts: PortParts): SensorPort[] {
  return Object.entries(config.ports).map(([name, port]) => buildPort(name, port, config, parts));
}

function buildPort(name: string, port: PortConfig, config: SenseConfig, parts: PortParts): SensorPort {
  const shared = { name, clock: parts.clock, random: () => parts.random() };
  switch (port.kind) {
    case 'serial-lines': {
      const sensors = sourcesOn(config, name, isLine);
      const events = new Map(Object.entries(eventsOn(config, name)));
      return new LinePort({ ...shared, config: port, sensors, events, stream: parts.openSerial(port) });
    }
    case 'modbus-rtu': {
      const sensors = sourcesOn(config, name, isRegister);
      return new RegisterPort({ ...shared, config: port, sensors, bus: parts.openBus(port) });
    }
    case 'gpio': {
      const sensors = pinsOn(config, name);
      return new GpioPort({ ...shared, config: port, sensors, gpio: () => parts.loadGpio() });
    }
    case 'driver': {
      const sensors = sourcesOn(config, name, isDriver);
      const events = Object.keys(eventsOn(config, name));
      return new DriverPort({ ...shared, config: port, sensors, events, host: () => parts.loadDrivers() });
    }
    case 'simulated':
      return parts.openSimulated({ name, pollMs: port.pollMs, sensors: sourcesOn(config, name, isWave) });
  }
}

const eventsOn = ({ events }: SenseConfig, port: string): SenseConfig['events'] =>
  Object.fromEntries(Object.entries(events).filter(([, { source }]) => source.port === port));

function sourcesOn<S extends Source>(
  config: SenseConfig,
  port: string,
  is: (source: Source) => source is S,
): Map<string, S> {
  const sources = Object.entries(config.sensors).map(([name, { source }]): [string, Source] => [name, source]);
  return new Map(sources.filter((entry): entry is [string, S] => entry[1].port === port && is(entry[1])));
}

/** A number counts edges, everything else is a level. */
const pinsOn = (config: SenseConfig, port: string): Map<string, WantedPin> =>
  new Map(
    [...sourcesOn(config, port, isPin)].map(([name, source]) => [
      name,
      { source, counts: config.sensors[name]?.kind === 'number' },
    ]),
  );

const isLine = (source: Source): source is LineSource => source.kind === 'serial-lines';
const isRegister = (source: Source): source is RegisterSource => source.kind === 'modbus-rtu';
const isPin = (source: Source): source is PinSource => source.kind === 'gpio';
const isDriver = (source: Source): source is DriverSource => source.kind === 'driver';
const isWave = (source: Source): source is WaveSource => source.kind === 'simulated';
