import type { Fields } from './line-format.ts';

/** A sentence of NMEA 0183: `$` (or `!`), an address, fields with commas between, `*` and two digits of a checksum. */
const SENTENCE = /^[$!]([A-Z0-9]{3,12}(?:,[^$!*]*)?)(?:\*([0-9A-Fa-f]{2}))?$/;
/** Talker and type, such as GP and GGA. A P begins the address of a maker's own sentence, which has neither. */
const ADDRESS = /^(?!P)[A-Z0-9]{2}([A-Z]{3})$/;
/** A centimetre or so. */
const DECIMALS = 7;

/** What names stand for, by the type of a sentence. All other fields have their numbers, from 1. */
const NAMES: Readonly<Record<string, (at: (field: number) => string) => Readonly<Record<string, unknown>>>> = {
  GGA: (at) => ({
    time: at(1),
    quality: at(6),
    satellites: at(7),
    // Quality 0: there is no fix, whatever the fields still hold.
    ...(at(6) !== '0' && {
      latitude: degrees(at(2), at(3)),
      longitude: degrees(at(4), at(5)),
      hdop: at(8),
      altitude: at(9),
    }),
  }),
  RMC: (at) => ({
    time: at(1),
    date: at(9),
    status: at(2),
    // V: void, a receiver's warning.
    ...(at(2) === 'A' && {
      latitude: degrees(at(3), at(4)),
      longitude: degrees(at(5), at(6)),
      speed: at(7),
      course: at(8),
    }),
  }),
};

/** The names that a sentence of this type has, besides numbers. */
export const namesOf = (type: string): string[] =>
  Object.hasOwn(NAMES, type) ? Object.keys(NAMES[type]?.((field) => (field === 2 ? 'A' : '1')) ?? {}) : [];

/**
 * A sentence as fields: `GGA.8` of any talker, `GPGGA.8` of that one alone, and by name where the type has names. A field
 * that is empty is not there: its sensor grows stale.
 * @returns null when it is no sentence
 */
export function nmeaLine(line: string): Fields | 'checksum' | null {
  const [, content = '', told = ''] = SENTENCE.exec(line.trim()) ?? [];
  if (content === '') return null;
  // None is as bad as a wrong one: NaN is no number's equal.
  if (checksumOf(content) !== Number.parseInt(told, 16)) return 'checksum';
  const [address = '', ...values] = content.split(',');
  const type = ADDRESS.exec(address)?.[1];
  const fields = fieldsOf(type, values);
  return type === undefined ? { [address]: fields } : { [type]: fields, [address]: fields };
}

function fieldsOf(type: string | undefined, values: readonly string[]): Fields {
  const numbered = values.map((value, index): [string, unknown] => [String(index + 1), value]);
  const named =
    type !== undefined && Object.hasOwn(NAMES, type) ? NAMES[type]?.((field) => values[field - 1] ?? '') : {};
  const all = [...numbered, ...Object.entries(named ?? {})];
  return Object.fromEntries(all.filter(([, value]) => value !== '' && value !== null));
}

/** Of all characters between `$` and `*`. */
const checksumOf = (content: string): number =>
  [...content].reduce((sum, character) => sum ^ (character.codePointAt(0) ?? 0), 0);

/** `4807.038` and `N` are 48 degrees and 7.038 minutes. Null when they are none. */
function degrees(text: string, side: string): number | null {
  const [, whole = '', minutes = ''] = /^(\d{2,3})(\d{2}(?:\.\d+)?)$/.exec(text) ?? [];
  if (whole === '' || !'NSEW'.includes(side) || side === '') return null;
  const value = Number(whole) + Number(minutes) / 60;
  const signed = side === 'S' || side === 'W' ? -value : value;
  return Number(signed.toFixed(DECIMALS));
}
