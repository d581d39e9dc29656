import type { Static, TProperties } from 'typebox';
import * as Type from 'typebox';
import { patternFault } from './line-format.ts';

/**
 * What `ports`, `sensors` and `events` of the configuration may hold, with every default: the one table.
 * `expects` words a rule for people; without it the schema's own message is shown.
 */
const strict = { additionalProperties: false };
const Milliseconds = (options: { minimum?: number; default?: number } = {}) =>
  Type.Integer({ minimum: 0, maximum: 31_622_400_000, ...options });
const Scalar = Type.Union([Type.String(), Type.Number(), Type.Boolean()], {
  expects: 'must be a text, a number, true or false',
});
const Scalars = Type.Union([Scalar, Type.Array(Scalar, { minItems: 1 })], {
  expects: 'must be a text, a number, true, false or a list of these',
});
export type Scalar = Static<typeof Scalar>;

export const Pattern = Type.Refine(
  Type.String({ minLength: 1, maxLength: 1024 }),
  (pattern) => patternFault(pattern) === null,
  (pattern) => patternFault(pattern) ?? '',
);
const DevicePath = Type.String({ pattern: '^/', expects: 'must be an absolute path such as /dev/ttyUSB0' });
const serialLine = {
  path: DevicePath,
  baudRate: Type.Integer({ minimum: 50, maximum: 4_000_000, default: 9600 }),
  dataBits: Type.Enum([5, 6, 7, 8], { default: 8 }),
  parity: Type.Enum(['none', 'even', 'odd'], { default: 'none' }),
  stopBits: Type.Enum([1, 2], { default: 1 }),
};

export const PORT_SCHEMAS = {
  /** A device that speaks lines of text by itself. Lines are JSON objects, sentences of NMEA 0183, or fit one of the patterns. */
  'serial-lines': Type.Object(
    {
      kind: Type.Literal('serial-lines'),
      ...serialLine,
      delimiter: Type.String({ minLength: 1, maxLength: 8, default: '\n' }),
      maxLineBytes: Type.Integer({ minimum: 16, maximum: 65_536, default: 1024 }),
      /** How long a healthy device may say nothing at all; 0 means for ever. */
      silentAfterMs: Milliseconds({ default: 10_000 }),
      format: Type.Optional(
        Type.Enum(['json', 'nmea'], { expects: 'must be json or nmea (or leave it out and give patterns)' }),
      ),
      patterns: Type.Optional(Type.Array(Pattern, { minItems: 1, maxItems: 64 })),
      /** Lines that mean nothing, such as a boot banner: neither a value nor a fault. */
      ignore: Type.Array(Pattern, { maxItems: 64, default: [] }),
    },
    strict,
  ),
  /** A bus of Modbus RTU units that are asked in turn. */
  'modbus-rtu': Type.Object(
    {
      kind: Type.Literal('modbus-rtu'),
      ...serialLine,
      timeoutMs: Milliseconds({ minimum: 10, default: 300 }),
      pollMs: Milliseconds({ minimum: 10, default: 1000 }),
    },
    strict,
  ),
  /** A GPIO chip of the machine, or of an expander. */
  gpio: Type.Object(
    {
      kind: Type.Literal('gpio'),
      /** Its path (`/dev/gpiochip0`), name or label: numbers may change from boot to boot, labels do not. */
      chip: Type.String({ minLength: 1, maxLength: 128 }),
      /** How often each line is asked for its level, besides its edges. */
      pollMs: Milliseconds({ minimum: 10, default: 1000 }),
    },
    strict,
  ),
  /** A device that a driver from outside reads: a module, see docs/drivers.md. */
  driver: Type.Object(
    {
      kind: Type.Literal('driver'),
      /** Relative to the configuration file. */
      driver: Type.String({ minLength: 1, maxLength: 1024 }),
      /** The driver judges them. */
      options: Type.Record(Type.String(), Type.Unknown(), { default: {} }),
      /** How long a healthy device may say nothing at all; 0 means for ever. */
      silentAfterMs: Milliseconds({ default: 10_000 }),
    },
    strict,
  ),
  /** No hardware: values follow the clock. */
  simulated: Type.Object(
    { kind: Type.Literal('simulated'), pollMs: Milliseconds({ minimum: 10, default: 1000 }) },
    strict,
  ),
} as const;

export type PortKind = keyof typeof PORT_SCHEMAS;
export type SerialLinesConfig = Static<(typeof PORT_SCHEMAS)['serial-lines']>;
export type ModbusRtuConfig = Static<(typeof PORT_SCHEMAS)['modbus-rtu']>;
export type SimulatedConfig = Static<(typeof PORT_SCHEMAS)['simulated']>;
export type GpioConfig = Static<(typeof PORT_SCHEMAS)['gpio']>;
export type DriverConfig = Static<(typeof PORT_SCHEMAS)['driver']>;
export type PortConfig = SerialLinesConfig | ModbusRtuConfig | GpioConfig | DriverConfig | SimulatedConfig;

export const REGISTER_TYPES = ['int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64', 'float32', 'float64'] as const;
export const WAVES = ['square', 'sine', 'constant', 'counter'] as const;

/** Which line of a GPIO chip, and what it is to be electrically. */
export const GPIO_LINE = {
  /** Its number on the chip, or its name. */
  line: Type.Union([Type.Integer({ minimum: 0, maximum: 65_535 }), Type.String({ minLength: 1, maxLength: 31 })], {
    expects: 'must be the number of a line on its chip, or its name',
  }),
  /** A low voltage means true. */
  activeLow: Type.Boolean({ default: false }),
  /** As it was before, no resistor at all, or one of the chip's own. */
  bias: Type.Enum(['as-is', 'off', 'pull-up', 'pull-down'], { default: 'as-is' }),
} as const satisfies TProperties;

/** Where on a port a value is found, by the port's kind. */
const ADDRESSES = {
  'serial-lines': {
    /** A member of the JSON object (dots reach into nested ones), `TYPE.FIELD` of a sentence, or a named group of a pattern. */
    field: Type.String({ minLength: 1, maxLength: 128 }),
  },
  'modbus-rtu': {
    unit: Type.Integer({ minimum: 1, maximum: 255 }),
    table: Type.Enum(['holding', 'input', 'coil', 'discrete']),
    /** As on the wire, from 0: what manuals call 40001 or 30001 is address 0 of its table. */
    address: Type.Integer({ minimum: 0, maximum: 65_535 }),
    /** Registers only; uint16 when left out. */
    type: Type.Optional(Type.Enum([...REGISTER_TYPES])),
    wordOrder: Type.Enum(['high-first', 'low-first'], { default: 'high-first' }),
    byteOrder: Type.Enum(['high-first', 'low-first'], { default: 'high-first' }),
    /** One bit of the value, 0 the lowest. */
    bit: Type.Optional(Type.Integer({ minimum: 0, maximum: 15 })),
  },
  gpio: {
    ...GPIO_LINE,
    /** A level has to stand for so long to be told: by the driver, the kernel, or else by us. */
    debounceUs: Type.Integer({ minimum: 0, maximum: 10_000_000, default: 0 }),
    /** Of a number: which edges it counts; rising when left out. */
    edge: Type.Optional(Type.Enum(['rising', 'falling', 'both'])),
  },
  driver: {
    /** What the driver calls it. */
    channel: Type.String({ minLength: 1, maxLength: 128 }),
  },
  simulated: {
    wave: Type.Enum([...WAVES]),
    periodMs: Milliseconds({ minimum: 1, default: 60_000 }),
    low: Type.Number({ default: 0 }),
    high: Type.Number({ default: 1 }),
  },
} as const satisfies Record<PortKind, TProperties>;

/** How a raw value becomes the sensor's, by the sensor's kind. */
const CONVERSIONS = {
  binary: {
    /** What means true. Without it: true, 1, "true" and "on". */
    on: Type.Optional(Scalars),
    /** What means false. Without it, everything that is not `on`. */
    off: Type.Optional(Scalars),
  },
  number: { scale: Type.Number({ default: 1 }), offset: Type.Number({ default: 0 }) },
  text: {},
  enum: {
    /** Raw values to names of `values`, such as { 0: available, 1: occupied }. */
    map: Type.Optional(Type.Record(Type.String(), Type.String())),
  },
} as const satisfies Record<string, TProperties>;

const Range = Type.Refine(
  Type.Tuple([Type.Number(), Type.Number()], { expects: 'must be [lowest, highest]' }),
  ([lowest, highest]) => lowest < highest,
  () => 'must be [lowest, highest], the lower one first',
);
const everySensor = {
  /** Older samples are stale. */
  maxAgeMs: Milliseconds({ minimum: 1, default: 60_000 }),
};
const discrete = {
  ...everySensor,
  /** A change counts when the new value has stood for this long. */
  debounceMs: Milliseconds({ default: 0 }),
  /** Whether a change makes the device report at once. */
  urgent: Type.Boolean({ default: false }),
  /** More raw changes than this within the window are chatter. */
  chatter: Type.Object(
    {
      changes: Type.Integer({ minimum: 1, maximum: 1000, default: 20 }),
      windowMs: Milliseconds({ minimum: 1, default: 10_000 }),
    },
    { ...strict, default: {} },
  ),
};

const SENSORS = {
  binary: { kind: Type.Literal('binary'), ...discrete },
  number: {
    kind: Type.Literal('number'),
    ...everySensor,
    unit: Type.Optional(Type.String({ minLength: 1, maxLength: 16 })),
    /** Lowest and highest value that can be true, both included, after scale and offset. */
    range: Type.Optional(Range),
    /** Decimals that mean something: a report says no more. A float32 register brings seven digits of anything. */
    decimals: Type.Optional(Type.Integer({ minimum: 0, maximum: 12 })),
    /** A value that does not move for this long is suspect. */
    flatlineAfterMs: Type.Optional(Milliseconds({ minimum: 1 })),
  },
  text: { kind: Type.Literal('text'), ...everySensor },
  enum: {
    kind: Type.Literal('enum'),
    ...discrete,
    values: Type.Array(Type.String({ minLength: 1, maxLength: 64 }), { minItems: 1, maxItems: 256, uniqueItems: true }),
  },
} as const satisfies Record<string, TProperties>;

export type SensorKind = keyof typeof SENSORS;
export const SENSOR_KINDS = Object.keys(SENSORS) as SensorKind[];

/** The schema of a sensor of this kind whose source is a port of that kind. */
export const sensorSchema = (sensor: SensorKind, port: PortKind) =>
  Type.Object({ ...SENSORS[sensor], source: sourceSchema(sensor, port) }, strict);

/** The same without looking into the source: when the port it names is not known. */
export const sensorSchemaOfAnySource = (sensor: SensorKind) =>
  Type.Object({ ...SENSORS[sensor], source: Type.Unknown() }, strict);

const sourceSchema = (sensor: SensorKind, port: PortKind) =>
  Type.Object({ port: Type.String(), ...ADDRESSES[port], ...CONVERSIONS[sensor] }, strict);

/** Something that happens, told by a line: a field that equals a value, or a pattern. */
export const EventSchema = Type.Object(
  {
    source: Type.Object(
      {
        port: Type.String(),
        field: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
        equals: Type.Optional(Scalar),
        pattern: Type.Optional(Pattern),
      },
      strict,
    ),
  },
  strict,
);
export type EventConfig = Static<typeof EventSchema>;

/** A source says by `kind` what kind of port it is on; the reader of the configuration adds that. */
type Address<Kind extends PortKind> = { readonly kind: Kind; readonly port: string } & Readonly<
  PropertiesOf<(typeof ADDRESSES)[Kind]>
>;
export type LineSource = Address<'serial-lines'>;
export type RegisterSource = Address<'modbus-rtu'>;
export type PinSource = Address<'gpio'>;
export type DriverSource = Address<'driver'>;
export type WaveSource = Address<'simulated'>;
export type Source = LineSource | RegisterSource | PinSource | DriverSource | WaveSource;

type SensorOf<Kind extends SensorKind> = PropertiesOf<(typeof SENSORS)[Kind]> & {
  readonly source: Source & PropertiesOf<(typeof CONVERSIONS)[Kind]>;
};
type PropertiesOf<P extends TProperties> = Static<ReturnType<typeof Type.Object<P>>>;
export type BinaryConfig = SensorOf<'binary'>;
export type NumberConfig = SensorOf<'number'>;
export type TextConfig = SensorOf<'text'>;
export type EnumConfig = SensorOf<'enum'>;
export type SensorConfig = BinaryConfig | NumberConfig | TextConfig | EnumConfig;

/** What the sensing part needs of the configuration. */
export interface SenseConfig {
  readonly ports: Readonly<Record<string, PortConfig>>;
  readonly sensors: Readonly<Record<string, SensorConfig>>;
  readonly events: Readonly<Record<string, EventConfig>>;
}
