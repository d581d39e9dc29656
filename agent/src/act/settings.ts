import type { Static, TProperties } from 'typebox';
import * as Type from 'typebox';
import { GPIO_LINE, Pattern, type PortKind } from '../sense/settings.ts';

/** What `outputs` of the configuration may hold, with every default: the one table. */
const strict = { additionalProperties: false };

export type OutputValue = boolean | number | string;
export type OutputKind = 'binary' | 'number' | 'text' | 'enum';

/** Text to be sent as it is, but for `{value}`. */
const Sent = Type.String({ minLength: 1, maxLength: 256 });
const within = (minimum: number, maximum: number, fallback: number) =>
  Type.Integer({ minimum, maximum, default: fallback });
/** How often it is read back what is so, and put right. */
const checkMs = within(100, 86_400_000, 10_000);
/** How often what failed is done again before it is said to have failed. It is tried again later, nevertheless. */
const retries = within(0, 10, 2);

/** Where on a port an output is, by the port's kind. */
const TARGETS = {
  gpio: {
    ...GPIO_LINE,
    drive: Type.Enum(['push-pull', 'open-drain', 'open-source'], { default: 'push-pull' }),
  },
  'serial-lines': {
    send: Sent,
    /** How text becomes bytes: with latin1 `"\xff"` of YAML is the byte 255. */
    encoding: Type.Enum(['utf8', 'latin1'], { default: 'utf8' }),
    /** What values are called on the line, such as { true: ON, false: OFF }. */
    words: Type.Optional(Type.Record(Type.String(), Type.String({ maxLength: 64 }))),
    /** The line that says that it was done: word for word, or any that fits. */
    answer: Type.Optional(Sent),
    answerPattern: Type.Optional(Pattern),
    /** Lines that say that it was not. */
    refusal: Type.Optional(Pattern),
    /** What asks how it is, and the lines that say so: the group `value` is the word. */
    ask: Type.Optional(Sent),
    told: Type.Optional(Pattern),
    timeoutMs: within(10, 60_000, 1000),
    retries,
    checkMs,
  },
  'modbus-rtu': {
    unit: Type.Integer({ minimum: 1, maximum: 247 }),
    table: Type.Enum(['coil', 'holding']),
    address: Type.Integer({ minimum: 0, maximum: 65_535 }),
    /** Of a number: what its register holds. */
    type: Type.Enum(['uint16', 'int16'], { default: 'uint16' }),
    /** What the register holds is the value divided by it. */
    scale: Type.Number({ exclusiveMinimum: 0, default: 1 }),
    /** Registers that can only be written say false. */
    readBack: Type.Boolean({ default: true }),
    retries,
    checkMs,
  },
} as const satisfies Partial<Record<PortKind, TProperties>>;

export type OutputPortKind = keyof typeof TARGETS;
export const isOutputPort = (kind: PortKind): kind is OutputPortKind => Object.hasOwn(TARGETS, kind);

const Text = Type.String({ maxLength: 64 });
const Range = Type.Tuple([Type.Number(), Type.Number()], { expects: 'must be [lowest, highest]' });

/** What an output takes, by its kind. */
const KINDS = {
  binary: { safe: Type.Boolean() },
  number: { safe: Type.Number(), unit: Type.Optional(Type.String({ minLength: 1, maxLength: 16 })), range: Range },
  text: { safe: Text },
  enum: { safe: Text, values: Type.Array(Text, { minItems: 1, maxItems: 64, uniqueItems: true }) },
} as const satisfies Record<OutputKind, TProperties & { readonly safe: unknown }>;
/** On which ports there are outputs of a kind. */
const FITTING: Readonly<Record<OutputPortKind, readonly OutputKind[]>> = {
  gpio: ['binary'],
  'modbus-rtu': ['binary', 'number'],
  'serial-lines': ['binary', 'number', 'text', 'enum'],
};
export const kindsOn = (port: OutputPortKind): readonly OutputKind[] => FITTING[port];

const away = {
  /** What becomes of what the cloud wants when it says nothing any more. */
  whenAway: Type.Enum(['hold', 'revert', 'lease'], { default: 'hold' }),
  /** How long after its last word. */
  awaySeconds: Type.Optional(Type.Integer({ minimum: 5, maximum: 31_622_400 })),
};

/** The schema of an output of this kind on a port of that kind. */
export function outputSchema(port: OutputPortKind, kind: OutputKind) {
  const { safe, ...rest } = KINDS[kind];
  return Type.Object(
    {
      kind: Type.Literal(kind),
      // What it is when the agent starts, when it ends, and whenever nobody is there to say something else. A line is
      // driven from the first moment on; what has to be told may be left as it is.
      safe: port === 'gpio' ? safe : Type.Optional(safe),
      ...rest,
      ...away,
      target: Type.Object({ port: Type.String(), ...TARGETS[port] }, strict),
    },
    strict,
  );
}

type PropertiesOf<P extends TProperties> = Static<ReturnType<typeof Type.Object<P>>>;
/** A target says by `kind` what kind of port it is on; the reader of the configuration adds that. */
type Target<P extends OutputPortKind> = { readonly kind: P; readonly port: string } & Readonly<
  PropertiesOf<(typeof TARGETS)[P]>
>;
export type LineTarget = Target<'gpio'>;
export type CommandTarget = Target<'serial-lines'>;
export type RegisterTarget = Target<'modbus-rtu'>;

interface Common extends Readonly<PropertiesOf<typeof away>> {
  readonly target: LineTarget | CommandTarget | RegisterTarget;
}
export type OutputConfig = Common &
  (
    | { readonly kind: 'binary'; readonly safe?: boolean }
    | { readonly kind: 'number'; readonly safe?: number; readonly unit?: string; readonly range: [number, number] }
    | { readonly kind: 'text'; readonly safe?: string }
    | { readonly kind: 'enum'; readonly safe?: string; readonly values: readonly string[] }
  );
/** One that is a line of a GPIO chip: always one of two, and always with a safe level. */
export type LineConfig = OutputConfig & {
  readonly kind: 'binary';
  readonly safe: boolean;
  readonly target: LineTarget;
};
export const isLineConfig = (config: OutputConfig): config is LineConfig => config.target.kind === 'gpio';

/** What the acting part needs of the configuration. */
export interface ActConfig {
  readonly outputs: Readonly<Record<string, OutputConfig>>;
}
