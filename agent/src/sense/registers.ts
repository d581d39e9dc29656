import type { RegisterRequest } from '../ports.ts';
import type { REGISTER_TYPES, RegisterSource } from './settings.ts';

export type RegisterType = (typeof REGISTER_TYPES)[number];

/** One row a type: how many 16-bit words it takes, and how its bytes are read, highest first. */
const TYPES = {
  int16: { words: 1, read: (view) => view.getInt16(0) },
  uint16: { words: 1, read: (view) => view.getUint16(0) },
  int32: { words: 2, read: (view) => view.getInt32(0) },
  uint32: { words: 2, read: (view) => view.getUint32(0) },
  // Beyond 2^53 a count loses its last digits, as every JSON number does.
  int64: { words: 4, read: (view) => Number(view.getBigInt64(0)) },
  uint64: { words: 4, read: (view) => Number(view.getBigUint64(0)) },
  float32: { words: 2, read: (view) => shortestFloat32(view.getFloat32(0)) },
  float64: { words: 4, read: (view) => view.getFloat64(0) },
} as const satisfies Record<RegisterType, { words: number; read: (view: DataView) => number }>;

type Encoding = Pick<RegisterSource, 'table' | 'type' | 'wordOrder' | 'byteOrder' | 'bit'>;

const isBitTable = (table: RegisterRequest['table']): boolean => table === 'coil' || table === 'discrete';

/** How many words, or bits of a coil table, a value takes. */
export const sizeOf = ({ table, type }: Pick<Encoding, 'table' | 'type'>): number =>
  isBitTable(table) ? 1 : TYPES[type ?? 'uint16'].words;

/** The most that one request may ask for (Modbus Application Protocol 1.1b3, sections 6.1 to 6.4). */
export const requestLimit = (table: RegisterRequest['table']): number => (isBitTable(table) ? 2000 : 125);

/**
 * Decodes a value from its 16-bit words, or 0 and 1 from a coil table.
 * Orders differ by maker; the standard says nothing of values longer than a word.
 * @returns a number that may be NaN or infinite when a float says so, or one bit as 0 or 1
 */
export function decodeRegisters(
  words: readonly number[],
  { table, type, wordOrder, byteOrder, bit }: Encoding,
): number {
  if (isBitTable(table)) return words[0] ?? Number.NaN;
  const row = TYPES[type ?? 'uint16'];
  if (words.length < row.words) return Number.NaN;
  const value = row.read(viewOf(wordOrder === 'high-first' ? words : words.toReversed(), byteOrder));
  // Words that are shifted as 32-bit integers would lose the high half of longer types.
  return bit === undefined ? value : Number((BigInt(value) >> BigInt(bit)) & 1n);
}

function viewOf(words: readonly number[], byteOrder: Encoding['byteOrder']): DataView {
  const view = new DataView(new ArrayBuffer(words.length * 2));
  words.forEach((word, index) => view.setUint16(index * 2, word, byteOrder === 'low-first'));
  return view;
}

/** The decimal with the fewest digits that is this float32: 7.2, not 7.199999809265137. */
function shortestFloat32(value: number): number {
  for (const digits of [6, 7, 8, 9]) {
    const shorter = Number(value.toPrecision(digits));
    if (Math.fround(shorter) === value) return shorter;
  }
  return value;
}
