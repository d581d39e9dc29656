import { largestOutputsBytes } from '../act/output-size.ts';
import type { ActConfig } from '../act/settings.ts';
import { invalid, type Path, type Problem } from './problems.ts';
import { largestReadingBytes, MAX_READINGS_BYTES } from '../sense/reading-size.ts';
import { sizeOf } from '../sense/registers.ts';
import { groupsOf } from '../sense/line-format.ts';
import { namesOf } from '../sense/nmea.ts';
import type {
  EventConfig,
  PinSource,
  PortConfig,
  RegisterSource,
  SenseConfig,
  SensorConfig,
  SerialLinesConfig,
} from '../sense/settings.ts';

/** Addresses of one table: 16 bits. */
const REGISTERS = 65_536;
const MAX_SENSORS = 256;

/** What a schema cannot say: rules between two keys, and between a sensor and its port. */
export function ruleProblems(config: SenseConfig & ActConfig): Problem[] {
  return [
    ...Object.entries(config.ports).flatMap(([name, port]) => portProblems(name, port, config)),
    ...Object.entries(config.sensors).flatMap(([name, sensor]) => sensorProblems(sensor, config, ['sensors', name])),
    ...Object.entries(config.events).flatMap(([name, event]) =>
      eventProblems(event, config, ['events', name, 'source']),
    ),
    ...sharedDeviceProblems(config.ports),
    ...sizeProblems(config),
  ];
}

/** A state that does not fit one message would silence the device: whatever its sensors say, it has to fit. */
function sizeProblems(config: SenseConfig & ActConfig): Problem[] {
  const entries = Object.entries(config.sensors);
  if (entries.length > MAX_SENSORS) return [invalid(['sensors'], `must be at most ${MAX_SENSORS}`)];
  const ofOutputs = largestOutputsBytes(config);
  const bytes = entries.reduce((sum, [name, sensor]) => sum + largestReadingBytes(name, sensor), ofOutputs);
  if (bytes <= MAX_READINGS_BYTES) return [];
  const why = `may take ${bytes} bytes in a report, which has room for ${MAX_READINGS_BYTES}`;
  return [invalid(['sensors'], `${why}: fewer texts, fewer sensors or shorter names are needed`)];
}

/** A port that only outputs use says nothing that would have to be understood. */
function portProblems(name: string, port: PortConfig, { sensors, events }: SenseConfig): Problem[] {
  if (port.kind !== 'serial-lines') return [];
  const formats = [port.format, port.patterns].filter((format) => format !== undefined).length;
  const isRead = [...Object.values(sensors), ...Object.values(events)].some(({ source }) => source.port === name);
  return formats === 1 || (formats === 0 && !isRead)
    ? []
    : [invalid(['ports', name], 'needs either format or patterns')];
}

/** Two ports on one device would steal each other's bytes. */
function sharedDeviceProblems(ports: Readonly<Record<string, PortConfig>>): Problem[] {
  const owner = new Map<string, string>();
  return Object.entries(ports).flatMap(([name, port]) => {
    if (port.kind === 'simulated' || port.kind === 'driver') return [];
    const [key, device] = port.kind === 'gpio' ? (['chip', port.chip] as const) : (['path', port.path] as const);
    const other = owner.get(device);
    if (other === undefined) owner.set(device, name);
    return other === undefined ? [] : [invalid(['ports', name, key], `is the device of port ${other} already`)];
  });
}

function sensorProblems(sensor: SensorConfig, config: SenseConfig, path: Path): Problem[] {
  const { source } = sensor;
  const port = config.ports[source.port];
  return [
    ...valueProblems(sensor, path),
    ...(source.kind === 'modbus-rtu' ? registerProblems(sensor, source, [...path, 'source']) : []),
    ...(source.kind === 'gpio' ? pinProblems(sensor, source, path) : []),
    ...(source.kind === 'serial-lines' ? groupProblems(source.field, port, [...path, 'source', 'field']) : []),
  ];
}

function valueProblems(sensor: SensorConfig, path: Path): Problem[] {
  if (sensor.kind !== 'enum') return [];
  const strangers = Object.entries(sensor.source.map ?? {}).filter(([, name]) => !sensor.values.includes(name));
  return strangers.map(([raw, name]) =>
    invalid([...path, 'source', 'map', raw], `is mapped to ${name}, which is none of ${sensor.values.join(', ')}`),
  );
}

function registerProblems(sensor: SensorConfig, source: RegisterSource, path: Path): Problem[] {
  const isBit = source.table === 'coil' || source.table === 'discrete';
  const isFloat = source.type === 'float32' || source.type === 'float64';
  const problems: Problem[] = [];
  if (source.address + sizeOf(source) > REGISTERS)
    problems.push(invalid([...path, 'address'], 'has no room for its type'));
  if (sensor.kind === 'text') problems.push(invalid(path, 'is on a Modbus port, which has no texts'));
  if (isBit && source.type !== undefined)
    problems.push(invalid([...path, 'type'], `does not fit table ${source.table}`));
  if (isBit && source.bit !== undefined) problems.push(invalid([...path, 'bit'], `does not fit table ${source.table}`));
  if (isFloat && source.bit !== undefined) problems.push(invalid([...path, 'bit'], `does not fit type ${source.type}`));
  return problems;
}

/** A sentence's type, or its whole address, and a field of it by number or name. */
const NMEA_FIELD = /^(?:(P[A-Z0-9]{2,11})|(?:[A-Z0-9]{2})?([A-Z]{3}))[.]([1-9][0-9]?|[a-z]+)$/;

function nmeaProblems(field: string, path: Path): Problem[] {
  const [, , type = '', name = ''] = NMEA_FIELD.exec(field) ?? [];
  const names = namesOf(type);
  if (/^[0-9]/.test(name) || names.includes(name)) return [];
  const known =
    names.length === 0
      ? 'a sentence and the number of its field, such as GGA.8'
      : `the number of a field, or ${type}.${names.join(`, ${type}.`)}`;
  return [invalid(path, `must be ${known}`)];
}

function pinProblems(sensor: SensorConfig, source: PinSource, path: Path): Problem[] {
  if (sensor.kind === 'text') return [invalid(path, 'is on a GPIO port, which has no texts')];
  if (sensor.kind === 'number' || source.edge === undefined) return [];
  return [invalid([...path, 'source', 'edge'], 'is for numbers, which count edges')];
}

function groupProblems(field: string, port: PortConfig | undefined, path: Path): Problem[] {
  if (port?.kind !== 'serial-lines') return [];
  if (port.format === 'nmea') return nmeaProblems(field, path);
  if (port.patterns === undefined) return [];
  const groups = groupsOfPort(port);
  return groups.includes(field) ? [] : [invalid(path, `is no named group of the port's patterns: ${field}`)];
}

const groupsOfPort = (port: SerialLinesConfig): string[] => (port.patterns ?? []).flatMap(groupsOf);

function eventProblems({ source }: EventConfig, config: SenseConfig, path: Path): Problem[] {
  const port = config.ports[source.port];
  // A driver tells them by their name.
  if (port?.kind === 'driver')
    return Object.keys(source).length === 1 ? [] : [invalid(path, 'is on a port of a driver, and holds only port')];
  if (port !== undefined && port.kind !== 'serial-lines') {
    return [invalid([...path, 'port'], 'must be a port of kind serial-lines or driver: others tell no events')];
  }
  const byPattern = source.pattern !== undefined;
  const byField = source.field !== undefined && source.equals !== undefined;
  const one = byPattern ? source.field === undefined && source.equals === undefined : byField;
  if (!one) return [invalid(path, 'needs either field and equals, or pattern')];
  if (byPattern) return [];
  return groupProblems(source.field ?? '', port, [...path, 'field']);
}
