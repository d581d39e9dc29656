/**
 * The kernel's GPIO character device, version 2, as `linux/gpio.h` lays it out: 64-bit fields are aligned, so the
 * layout is the same on every machine that Node 24 runs on, and all of them are little-endian.
 */
import type { ChipFacts, InputSettings, LineFacts, LineSettings, OutputSettings } from '../../ports-gpio.ts';

export const IOCTL = {
  chipInfo: 0x8044b401,
  lineInfo: 0xc100b405,
  requestLine: 0xc250b407,
  getValues: 0xc010b40e,
  setValues: 0xc010b40f,
} as const;

export const SIZE = { chipInfo: 68, lineInfo: 256, request: 592, values: 16, event: 48 } as const;
/** The most events that the kernel keeps for one request (GPIO_V2_LINES_MAX * 16). */
export const MOST_EVENTS = 1024;

const NAME_BYTES = 32;
const FLAG = {
  used: 0,
  activeLow: 1,
  input: 2,
  output: 3,
  rising: 4,
  falling: 5,
  openDrain: 6,
  openSource: 7,
  pullUp: 8,
  pullDown: 9,
  biasOff: 10,
} as const;
type Flag = keyof typeof FLAG;

const BIAS = {
  'as-is': [],
  off: ['biasOff'],
  'pull-up': ['pullUp'],
  'pull-down': ['pullDown'],
} as const satisfies Record<LineSettings['bias'], readonly Flag[]>;
const EDGES = {
  none: [],
  rising: ['rising'],
  falling: ['falling'],
  both: ['rising', 'falling'],
} as const satisfies Record<InputSettings['edges'], readonly Flag[]>;
const DRIVE = { 'push-pull': [], 'open-drain': ['openDrain'], 'open-source': ['openSource'] } as const satisfies Record<
  OutputSettings['drive'],
  readonly Flag[]
>;

/** Ids of `struct gpio_v2_line_attribute`. */
const ATTRIBUTE = { values: 2, debounce: 3 } as const;

/** Where fields stand in `struct gpio_v2_line_request`. */
const AT = { user: 256, flags: 288, attributes: 296, attribute: 320, lines: 560, buffer: 564, fd: 588 } as const;

interface Attribute {
  readonly id: (typeof ATTRIBUTE)[keyof typeof ATTRIBUTE];
  readonly value: bigint;
}

const bits = (flags: readonly Flag[]): bigint => flags.reduce((sum, flag) => sum | (1n << BigInt(FLAG[flag])), 0n);

/** Asks for one line as an input. */
export const inputRequest = (offset: number, settings: InputSettings, user: string): Buffer =>
  request(offset, user, {
    flags: ['input', ...EDGES[settings.edges], ...flagsOf(settings)],
    attributes: settings.debounceUs > 0 ? [{ id: ATTRIBUTE.debounce, value: BigInt(settings.debounceUs) }] : [],
  });

/** Asks for one line as an output that has this level at once. */
export const outputRequest = (offset: number, settings: OutputSettings, level: boolean, user: string): Buffer =>
  request(offset, user, {
    flags: ['output', ...DRIVE[settings.drive], ...flagsOf(settings)],
    attributes: [{ id: ATTRIBUTE.values, value: level ? 1n : 0n }],
  });

const flagsOf = ({ activeLow, bias }: LineSettings): Flag[] => [
  ...(activeLow ? ['activeLow' as const] : []),
  ...BIAS[bias],
];

function request(
  offset: number,
  user: string,
  { flags, attributes }: { readonly flags: readonly Flag[]; readonly attributes: readonly Attribute[] },
): Buffer {
  const bytes = Buffer.alloc(SIZE.request);
  bytes.writeUInt32LE(offset, 0);
  // The last byte stays 0: it ends the text.
  bytes.write(user, AT.user, NAME_BYTES - 1);
  bytes.writeBigUInt64LE(bits(flags), AT.flags);
  bytes.writeUInt32LE(attributes.length, AT.attributes);
  for (const [index, { id, value }] of attributes.entries()) {
    const at = AT.attribute + index * 24;
    bytes.writeUInt32LE(id, at);
    bytes.writeBigUInt64LE(value, at + 8);
    // The first line of the request, which is the only one.
    bytes.writeBigUInt64LE(1n, at + 16);
  }
  bytes.writeUInt32LE(1, AT.lines);
  bytes.writeUInt32LE(MOST_EVENTS, AT.buffer);
  return bytes;
}

/** The descriptor of the line, once the kernel has answered. */
export const descriptorIn = (request: Buffer): number => request.readInt32LE(AT.fd);

export const chipIn = (bytes: Buffer): Pick<ChipFacts, 'name' | 'label'> & { readonly lineCount: number } => ({
  name: textAt(bytes, 0),
  label: textAt(bytes, NAME_BYTES),
  lineCount: bytes.readUInt32LE(2 * NAME_BYTES),
});

export function lineQuestion(offset: number): Buffer {
  const bytes = Buffer.alloc(SIZE.lineInfo);
  bytes.writeUInt32LE(offset, 2 * NAME_BYTES);
  return bytes;
}

export function lineIn(bytes: Buffer): LineFacts {
  const flags = bytes.readBigUInt64LE(72);
  const has = (flag: Flag): boolean => (flags & bits([flag])) !== 0n;
  const user = textAt(bytes, NAME_BYTES);
  return {
    line: bytes.readUInt32LE(2 * NAME_BYTES),
    name: textAt(bytes, 0) || null,
    user: has('used') ? user || 'somebody without a name' : null,
    direction: has('output') ? 'output' : 'input',
    activeLow: has('activeLow'),
  };
}

export interface KernelEvent {
  /** CLOCK_MONOTONIC. */
  readonly stampMs: number;
  readonly rising: boolean;
  readonly sequence: number;
}

/** The events that a read brought. Their `seqno` is the line's own, since each request is for one line. */
export const eventsIn = (bytes: Buffer): KernelEvent[] =>
  Array.from({ length: Math.floor(bytes.length / SIZE.event) }, (_, index) => {
    const at = index * SIZE.event;
    return {
      // Past 104 days of uptime nanoseconds do not fit a number.
      stampMs: Number(bytes.readBigUInt64LE(at) / 1000n) / 1000,
      rising: bytes.readUInt32LE(at + 8) === 1,
      sequence: bytes.readUInt32LE(at + 20),
    };
  });

/** Asks for, or sets, the level of the only line of a request. */
export function valuesOf(level: boolean): Buffer {
  const bytes = Buffer.alloc(SIZE.values);
  bytes.writeBigUInt64LE(level ? 1n : 0n, 0);
  bytes.writeBigUInt64LE(1n, 8);
  return bytes;
}

export const levelIn = (values: Buffer): boolean => (values.readBigUInt64LE(0) & 1n) === 1n;

function textAt(bytes: Buffer, at: number): string {
  const field = bytes.subarray(at, at + NAME_BYTES);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end < 0 ? NAME_BYTES : end);
}
