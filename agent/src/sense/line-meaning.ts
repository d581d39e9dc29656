import type { RawValue } from '../ports.ts';
import {
  compilePattern,
  fieldOf,
  groupsOfMatch,
  isRawValue,
  jsonLine,
  patternLine,
  type Fields,
  type LineFormat,
} from './line-format.ts';
import { nmeaLine } from './nmea.ts';
import type { EventConfig, LineSource, Scalar, SerialLinesConfig } from './settings.ts';

/** What one line says about the sensors and events of its port. */
export interface LineMeaning {
  readonly samples: readonly { readonly sensor: string; readonly value: RawValue }[];
  /** Sensors whose field is there and is no value. */
  readonly malformed: readonly string[];
  readonly events: readonly { readonly name: string; readonly data: Record<string, unknown> }[];
  /** Its checksum is wrong: as bad as a line that means nothing, and another reason. */
  readonly isDamaged?: true;
}

export interface LineRules {
  readonly config: Pick<SerialLinesConfig, 'format' | 'patterns' | 'ignore'>;
  readonly sensors: ReadonlyMap<string, LineSource>;
  readonly events: ReadonlyMap<string, EventConfig>;
}

const NOTHING: LineMeaning = { samples: [], malformed: [], events: [] };

/**
 * Says what a line means, or null when it means nothing that it should: any sensor of the port
 * may have been in it, so none of them can be believed until it is heard again.
 */
export type LineReader = (line: string) => LineMeaning | null;

/** How a port's lines are read. */
export const formatOf = ({ format, patterns }: Pick<SerialLinesConfig, 'format' | 'patterns'>): LineFormat =>
  patterns ? patternLine(patterns) : format === 'nmea' ? nmeaLine : jsonLine;

/** Makes the reader of a port's lines. */
export function createLineReader(rules: LineRules): LineReader {
  // A line that nobody listens to may say what it likes.
  if (rules.sensors.size === 0 && rules.events.size === 0) return () => NOTHING;
  const format = formatOf(rules.config);
  const ignored = rules.config.ignore.map(compilePattern);
  const eventsOfLine = createEventReader(rules.events);
  return (line) => {
    if (ignored.some((pattern) => pattern.test(line))) return NOTHING;
    const fields = format(line);
    if (fields === 'checksum') return { ...NOTHING, isDamaged: true };
    const events = eventsOfLine(line, fields);
    if (fields === null) return events.length > 0 ? { ...NOTHING, events } : null;
    return { ...samplesOf(rules.sensors, fields), events };
  };
}

function samplesOf(
  sensors: ReadonlyMap<string, LineSource>,
  fields: Fields,
): Pick<LineMeaning, 'samples' | 'malformed'> {
  const found = [...sensors].map(([sensor, { field }]) => ({ sensor, value: fieldOf(fields, field) }));
  const there = found.filter(({ value }) => value !== undefined);
  return {
    samples: there.flatMap(({ sensor, value }) => (isRawValue(value) ? [{ sensor, value }] : [])),
    malformed: there.filter(({ value }) => !isRawValue(value)).map(({ sensor }) => sensor),
  };
}

type EventReader = (line: string, fields: Fields | null) => LineMeaning['events'];

function createEventReader(events: ReadonlyMap<string, EventConfig>): EventReader {
  const readers = [...events].map(([name, { source }]) => {
    const pattern = source.pattern === undefined ? null : compilePattern(source.pattern);
    return { name, dataOf: pattern ? dataByPattern(pattern) : dataByField(source.field ?? '', source.equals) };
  });
  return (line, fields) =>
    readers.flatMap(({ name, dataOf }) => {
      const data = dataOf(line, fields);
      return data === null ? [] : [{ name, data }];
    });
}

type DataReader = (line: string, fields: Fields | null) => Record<string, unknown> | null;

function dataByPattern(pattern: RegExp): DataReader {
  return (line) => {
    const match = pattern.exec(line);
    return match ? { ...groupsOfMatch(match) } : null;
  };
}

/** The other fields are the data. */
const dataByField =
  (field: string, equals: Scalar | undefined): DataReader =>
  (_line, fields) => {
    // As everywhere, a number and its text are the same: a pattern knows texts only.
    const value = fields && fieldOf(fields, field);
    if (fields === null || !isRawValue(value) || String(value) !== String(equals)) return null;
    return Object.fromEntries(Object.entries(fields).filter(([name]) => name !== field));
  };
