import type { QualityReason } from '@paddock/shared/report.ts';
import type { RawValue } from '../ports.ts';
import { MAX_TEXT_BYTES, textBytes } from './reading-size.ts';
import type { BinaryConfig, EnumConfig, NumberConfig, Scalar, SensorConfig } from './settings.ts';

export type Converted =
  | { readonly value: RawValue }
  | { readonly fault: Extract<QualityReason, 'malformed' | 'out-of-range'> };

const MALFORMED: Converted = { fault: 'malformed' };
const TRUE_WORDS: readonly Scalar[] = [true, 1, '1', 'true', 'on'];
const FALSE_WORDS: readonly Scalar[] = [false, 0, '0', 'false', 'off'];
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** Turns what was read into what the sensor means, or says why it cannot be that. */
export function convert(sensor: SensorConfig, raw: RawValue): Converted {
  switch (sensor.kind) {
    case 'binary':
      return toBinary(sensor.source, raw);
    case 'number':
      return toNumber(sensor, raw);
    case 'enum':
      return toEnum(sensor, raw);
    case 'text':
      return toText(raw);
  }
}

function toBinary({ on, off }: BinaryConfig['source'], raw: RawValue): Converted {
  if (isOneOf(on ?? TRUE_WORDS, raw)) return { value: true };
  const isOff = on !== undefined && off === undefined ? true : isOneOf(off ?? FALSE_WORDS, raw);
  return isOff ? { value: false } : MALFORMED;
}

/** Numbers and their texts are the same here: a text line holds "1" where a register holds 1. */
const isOneOf = (words: Scalar | readonly Scalar[], raw: RawValue): boolean =>
  [words].flat().some((word) => String(word) === String(raw));

function toNumber({ source, range }: NumberConfig, raw: RawValue): Converted {
  const number = typeof raw === 'string' && DECIMAL.test(raw.trim()) ? Number(raw) : raw;
  if (typeof number !== 'number' || !Number.isFinite(number)) return MALFORMED;
  const value = scaled(number, source);
  if (!Number.isFinite(value)) return MALFORMED;
  return range && (value < range[0] || value > range[1]) ? { fault: 'out-of-range' } : { value };
}

/** Twelve digits are more than any sensor has, and keep 0.1 × 3 from becoming 0.30000000000000004. */
const scaled = (number: number, { scale, offset }: NumberConfig['source']): number =>
  scale === 1 && offset === 0 ? number : Number((number * scale + offset).toPrecision(12));

function toEnum({ source, values }: EnumConfig, raw: RawValue): Converted {
  const map = source.map ?? {};
  const name = Object.hasOwn(map, String(raw)) ? map[String(raw)] : String(raw);
  return name !== undefined && values.includes(name) ? { value: name } : MALFORMED;
}

/** Never cut: half a text is another text. */
const toText = (raw: RawValue): Converted =>
  textBytes(String(raw)) > MAX_TEXT_BYTES ? MALFORMED : { value: String(raw) };
