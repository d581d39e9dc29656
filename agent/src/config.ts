import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { NAME_PATTERN } from '@paddock/shared/names.ts';
import { DEVICE_ID_PATTERN } from '@paddock/shared/topics.ts';
import type { Static, TSchema } from 'typebox';
import * as Type from 'typebox';
import { isOutputPort, kindsOn, outputSchema, type ActConfig, type OutputConfig } from './act/settings.ts';
import { brokerUrlFault } from './config/broker-url.ts';
import { KeySchema, keyConfig, type KeyConfig } from './config/key-settings.ts';
import { cloudProblems, EnrolSchema } from './config/cloud-rules.ts';
import { firmwareConfig, firmwareProblems, FirmwareSchema, type FirmwareConfig } from './config/firmware-settings.ts';
import { localProblems, LocalSchema } from './config/local-settings.ts';
import { checkAgainst, invalid, namesNothing, type Path, type Problem, type ProblemCode } from './config/problems.ts';
import { outputProblems } from './config/output-rules.ts';
import { lineProblems } from './config/line-rules.ts';
import { ruleProblems } from './config/sensor-rules.ts';
import { parseYaml, type YamlText } from './config/yaml-text.ts';
import {
  EventSchema,
  PORT_SCHEMAS,
  SENSOR_KINDS,
  sensorSchema,
  sensorSchemaOfAnySource,
  type EventConfig,
  type PortConfig,
  type PortKind,
  type SenseConfig,
  type SensorConfig,
  type SensorKind,
} from './sense/settings.ts';

export type { EventConfig, PortConfig, SensorConfig } from './sense/settings.ts';

const strict = { additionalProperties: false };
const Section = Type.Record(Type.String(), Type.Unknown(), { default: {}, expects: 'must hold names with settings' });

/** Everything but the entries of ports, sensors, events and outputs: `sense/settings.ts` and `act/settings.ts` have them. */
const AgentSchema = Type.Object(
  {
    /** A device that enrols is given its id by the cloud, which counts then. */
    device: Type.Optional(
      Type.String({
        pattern: DEVICE_ID_PATTERN,
        expects: 'must be the id given at registration: 3 to 36 of a-z, 0-9 and -, not beginning with -',
      }),
    ),
    /** Relative to the configuration file. */
    dataDir: Type.String({ minLength: 1, default: './state' }),
    key: KeySchema,
    cloud: Type.Object(
      {
        url: Type.Optional(
          Type.Refine(
            Type.String(),
            (url) => brokerUrlFault(url) === null,
            (url) => brokerUrlFault(url) ?? '',
          ),
        ),
        /** A claim from the factory, relative to the configuration file: the device enrols with it. */
        claim: Type.Optional(Type.String({ minLength: 1 })),
        enrol: Type.Optional(EnrolSchema),
        /** The cloud's public keys (a JWK Set), relative to the configuration file. */
        keys: Type.String({ minLength: 1, default: 'cloud-keys.json' }),
        keepAliveSeconds: Type.Integer({ minimum: 5, maximum: 1200, default: 30 }),
      },
      strict,
    ),
    report: Type.Object(
      {
        /** A cron expression; its scheduler judges it. */
        schedule: Type.String({ minLength: 1, default: '*/5 * * * *' }),
        jitterSeconds: Type.Integer({ minimum: 0, maximum: 3600, default: 20 }),
        urgentMinIntervalMs: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 1000 }),
      },
      { ...strict, default: {} },
    ),
    outbox: Type.Object(
      {
        /** Routine reports that wait in memory alone. */
        routineReports: Type.Integer({ minimum: 1, maximum: 4_096, default: 256 }),
        /** What reports may take on disk; the file itself may grow to twice that before it is cleared. */
        diskBytes: Type.Integer({ minimum: 65_536, maximum: 67_108_864, default: 8_388_608 }),
        /** No report waits longer for its answer. */
        maxAgeDays: Type.Integer({ minimum: 1, maximum: 3_650, default: 60 }),
      },
      { ...strict, default: {} },
    ),
    clock: Type.Object(
      {
        /** Whether the agent may set the machine's clock, for which it needs CAP_SYS_TIME. */
        setSystemClock: Type.Boolean({ default: false }),
        /** By how much the clock must certainly be wrong. */
        stepOverMs: Type.Integer({ minimum: 10, maximum: 86_400_000, default: 1_000 }),
      },
      { ...strict, default: {} },
    ),
    log: Type.Object(
      { level: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'silent'], { default: 'info' }) },
      { ...strict, default: {} },
    ),
    firmware: Type.Optional(FirmwareSchema),
    local: Type.Optional(LocalSchema),
    ports: Section,
    sensors: Section,
    events: Section,
    outputs: Section,
  },
  strict,
);
type Basics = Static<typeof AgentSchema>;

/** The agent's whole configuration, defaults included; every path is absolute. */
export interface AgentConfig
  extends Omit<Basics, 'key' | 'firmware' | 'ports' | 'sensors' | 'events' | 'outputs'>, SenseConfig, ActConfig {
  readonly key: KeyConfig;
  readonly firmware?: FirmwareConfig;
  /** The file it was read from. */
  readonly file: string;
}

/** A configuration that cannot be used. `problems` holds every mistake with its key path and line. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  /** The code of the first problem. */
  readonly code: ProblemCode;
  readonly problems: readonly (Problem & { readonly line: number })[];

  constructor(file: string, problems: readonly (Problem & { readonly line: number })[], options?: ErrorOptions) {
    super(
      problems
        .map(({ line, path, message }) => `${file}:${line}: ${[path.join('.'), message].join(' ').trim()}`)
        .join('\n'),
      options,
    );
    this.code = problems[0]?.code ?? 'config_invalid';
    this.problems = problems;
  }
}

/**
 * Reads agent.yaml.
 * @throws ConfigError with all mistakes at once: `config_unreadable`, `config_syntax`, `config_unknown_key`, `config_invalid`
 */
export async function loadConfig(path: string): Promise<AgentConfig> {
  const file = resolve(path);
  return readConfig(await readText(file), file);
}

/** The pure part of {@link loadConfig}: text in, configuration out. */
export function readConfig(text: string, file: string): AgentConfig {
  const yaml = parseYaml(text);
  if (yaml.errors.length > 0) {
    throw new ConfigError(
      file,
      yaml.errors.map((error) => ({ ...error, code: 'config_syntax', path: [] })),
    );
  }
  const { config, problems } = check(yaml.value);
  if (config === null || problems.length > 0) throw new ConfigError(file, withLines(problems, yaml));
  return withAbsolutePaths(config, file);
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    const advice = why === 'ENOENT' ? ': paddock-agent init makes one' : '';
    const problem: Problem = { code: 'config_unreadable', path: [], message: `cannot be read (${why})${advice}` };
    throw new ConfigError(file, [{ ...problem, line: 1 }], { cause });
  }
}

const withLines = (problems: readonly Problem[], yaml: YamlText) =>
  problems.map((problem) => ({ ...problem, line: yaml.lineOf(problem.path) })).toSorted((a, b) => a.line - b.line);

function check(value: unknown): { config: (Basics & SenseConfig & ActConfig) | null; problems: Problem[] } {
  if (!isRecord(value))
    return { config: null, problems: [invalid([], 'must hold settings: device, cloud, ports, sensors')] };
  const basics = checkAgainst(AgentSchema, withoutEmptySections(value), []);
  const ports = checkEntries(sectionOf(value, 'ports'), 'ports', checkPort);
  const portKinds = kindsOf(ports.raw);
  const sensors = checkEntries(sectionOf(value, 'sensors'), 'sensors', (raw, path) =>
    checkSensor(raw, path, portKinds),
  );
  const events = checkEntries(sectionOf(value, 'events'), 'events', (raw, path) => checkEvent(raw, path, portKinds));
  const outputs = checkEntries(sectionOf(value, 'outputs'), 'outputs', (raw, path) =>
    checkOutput(raw, path, portKinds),
  );
  const sense = { ports: ports.good, sensors: sensors.good, events: events.good };
  const problems = [
    ...(basics.problems.length > 0 ? basics.problems : cloudProblems(basics.value as Basics)),
    ...ports.problems,
    ...sensors.problems,
    ...events.problems,
    ...outputs.problems,
    ...ruleProblems({ ...sense, outputs: outputs.good }),
    ...outputProblems({ outputs: outputs.good }, sensors.good),
    ...(basics.problems.length > 0 ? [] : firmwareProblems((basics.value as Basics).firmware)),
    ...(basics.problems.length > 0 ? [] : localProblems((basics.value as Basics).local, sensors.good)),
    ...lineProblems(sense.sensors, outputs.good),
  ];
  return { config: { ...(basics.value as Basics), ...sense, outputs: outputs.good }, problems };
}

/** `sensors:` with nothing under it is YAML's null, and means that there are none. */
const withoutEmptySections = (value: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(value).filter(([, section]) => section !== null));

const sectionOf = (value: Record<string, unknown>, name: string): Record<string, unknown> =>
  isRecord(value[name]) ? value[name] : {};

interface Checked<T> {
  /** Undefined when the entry cannot be used. */
  readonly value: T | undefined;
  readonly problems: readonly Problem[];
}

function checkEntries<T>(
  section: Record<string, unknown>,
  name: string,
  checkEntry: (raw: Record<string, unknown>, path: Path) => Checked<T>,
): { raw: Record<string, unknown>; good: Record<string, T>; problems: Problem[] } {
  const good: Record<string, T> = {};
  const problems: Problem[] = [];
  for (const [key, raw] of Object.entries(section)) {
    const path = [name, key];
    if (!new RegExp(NAME_PATTERN).test(key))
      problems.push(invalid(path, 'must be named in a-z, 0-9, ".", "_" and "-"'));
    const checked = isRecord(raw) ? checkEntry(raw, path) : failed<T>([invalid(path, 'must hold settings')]);
    problems.push(...checked.problems);
    if (checked.value !== undefined) good[key] = checked.value;
  }
  return { raw: section, good, problems };
}

const failed = <T>(problems: readonly Problem[]): Checked<T> => ({ value: undefined, problems });

function checkPort(raw: Record<string, unknown>, path: Path): Checked<PortConfig> {
  const kinds = Object.keys(PORT_SCHEMAS);
  if (!isPortKind(raw.kind)) return failed([namesNothing([...path, 'kind'], raw.kind, 'kind of port', kinds)]);
  return asChecked<PortConfig>(PORT_SCHEMAS[raw.kind], raw, path);
}

function checkSensor(
  raw: Record<string, unknown>,
  path: Path,
  portKinds: ReadonlyMap<string, PortKind | null>,
): Checked<SensorConfig> {
  const { kind, source } = raw;
  if (!isSensorKind(kind)) return failed([namesNothing([...path, 'kind'], kind, 'kind of sensor', SENSOR_KINDS)]);
  const port = checkPortName(source, [...path, 'source'], portKinds);
  if (port.value === undefined) {
    return failed([...checkAgainst(sensorSchemaOfAnySource(kind), raw, path).problems, ...port.problems]);
  }
  const checked = asChecked<SensorConfig>(sensorSchema(kind, port.value), raw, path);
  // The source's shape was checked against this kind of port a line above; it only gets its tag here.
  if (checked.value) Object.assign(checked.value.source, { kind: port.value });
  return checked;
}

function checkEvent(
  raw: Record<string, unknown>,
  path: Path,
  portKinds: ReadonlyMap<string, PortKind | null>,
): Checked<EventConfig> {
  const checked = asChecked<EventConfig>(EventSchema, raw, path);
  if (!checked.value) return checked;
  const port = checkPortName(checked.value.source, [...path, 'source'], portKinds);
  return port.problems.length > 0 ? failed(port.problems) : checked;
}

function checkOutput(
  raw: Record<string, unknown>,
  path: Path,
  portKinds: ReadonlyMap<string, PortKind | null>,
): Checked<OutputConfig> {
  const port = checkPortName(raw.target, [...path, 'target'], portKinds);
  if (port.value === undefined) return failed(port.problems);
  if (!isOutputPort(port.value))
    return failed([invalid([...path, 'target', 'port'], `is a port of kind ${port.value}, which drives nothing`)]);
  const kind = kindsOn(port.value).find((one) => one === raw.kind);
  if (kind === undefined)
    return failed([namesNothing([...path, 'kind'], raw.kind, 'kind of output on such a port', kindsOn(port.value))]);
  const checked = asChecked<OutputConfig>(outputSchema(port.value, kind), raw, path);
  if (checked.value) Object.assign(checked.value.target, { kind: port.value });
  return checked;
}

/** The kind of the port that a source or a target names. Silent about a port that exists and is wrong itself. */
function checkPortName(
  source: unknown,
  path: Path,
  portKinds: ReadonlyMap<string, PortKind | null>,
): Checked<PortKind> {
  if (!isRecord(source))
    return failed([invalid(path, source === undefined ? 'is missing' : 'must hold port and what is meant there')]);
  if (source.port === undefined) return failed([invalid([...path, 'port'], 'is missing')]);
  const kind = typeof source.port === 'string' ? portKinds.get(source.port) : undefined;
  if (kind === undefined) return failed([namesNothing([...path, 'port'], source.port, 'port', [...portKinds.keys()])]);
  return { value: kind ?? undefined, problems: [] };
}

function asChecked<T>(schema: TSchema, raw: unknown, path: Path): Checked<T> {
  const { value, problems } = checkAgainst(schema, raw, path);
  return problems.length > 0 ? failed(problems) : { value: value as T, problems };
}

const kindsOf = (ports: Record<string, unknown>): Map<string, PortKind | null> =>
  new Map(
    Object.entries(ports).map(([name, port]) => [name, isRecord(port) && isPortKind(port.kind) ? port.kind : null]),
  );

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isPortKind = (kind: unknown): kind is PortKind => typeof kind === 'string' && Object.hasOwn(PORT_SCHEMAS, kind);
const isSensorKind = (kind: unknown): kind is SensorKind => SENSOR_KINDS.includes(kind as SensorKind);

function withAbsolutePaths(config: Basics & SenseConfig & ActConfig, file: string): AgentConfig {
  const home = dirname(file);
  const dataDir = resolve(home, config.dataDir);
  const { claim, enrol } = config.cloud;
  const { firmware, local, ...rest } = config;
  const installed = firmwareConfig(firmware, (path) => resolve(home, path));
  return {
    ...rest,
    file,
    dataDir,
    ports: Object.fromEntries(Object.entries(config.ports).map(([name, port]) => [name, portAt(home, port)])),
    key: keyConfig(config.key, (path) => resolve(dataDir, path)),
    cloud: {
      ...config.cloud,
      keys: resolve(home, config.cloud.keys),
      ...(claim !== undefined && { claim: resolve(home, claim) }),
      ...(enrol !== undefined && { enrol: { ...enrol, root: resolve(home, enrol.root) } }),
    },
    ...(installed !== undefined && { firmware: installed }),
    ...(local !== undefined && { local: { ...local, socket: resolve(home, local.socket) } }),
  };
}

const portAt = (home: string, port: PortConfig): PortConfig =>
  port.kind === 'driver' ? { ...port, driver: resolve(home, port.driver) } : port;
