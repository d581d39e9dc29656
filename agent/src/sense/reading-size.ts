import type { Reading } from '@paddock/shared/report.ts';
import type { SensorConfig } from './settings.ts';

/** What a text may take in a report, as JSON without its quotes. */
export const MAX_TEXT_BYTES = 256;
/**
 * What all readings may take in a report, as JSON. Random bytes do not deflate, and base64 makes 64 KiB of 48 KiB: the
 * rest is for an event's data (4 KiB) and everything else that a report says (less than 2 KiB).
 */
export const MAX_READINGS_BYTES = 42_000;

/** A span or a count that no device reaches: more than 31 years in ms. */
const LARGEST_COUNT = 999_999_999_999;
const utf8 = new TextEncoder();

/** How long a text is as JSON, in bytes without its quotes: what it takes at most when it does not deflate. */
export const textBytes = (text: string): number => utf8.encode(JSON.stringify(text)).length - 2;

/** The most that this sensor can take in a report, in bytes of JSON. */
export function largestReadingBytes(name: string, sensor: SensorConfig): number {
  const reading: Reading = {
    value: largestValue(sensor),
    ...(sensor.kind === 'number' && sensor.unit !== undefined && { unit: sensor.unit }),
    ageMs: LARGEST_COUNT,
    quality: 'suspect',
    reason: 'out-of-range',
    ...((sensor.kind === 'binary' || sensor.kind === 'enum') && {
      changes: LARGEST_COUNT,
      changedAgoMs: LARGEST_COUNT,
    }),
    ...(sensor.source.kind === 'gpio' && { gaps: LARGEST_COUNT }),
  };
  // Its braces stand for the comma.
  return utf8.encode(JSON.stringify({ [name]: reading })).length - 1;
}

function largestValue(sensor: SensorConfig): Reading['value'] {
  switch (sensor.kind) {
    case 'binary':
      return false;
    case 'number':
      return -Number.MAX_VALUE;
    case 'text':
      return 'x'.repeat(MAX_TEXT_BYTES);
    case 'enum':
      return sensor.values.toSorted((a, b) => textBytes(b) - textBytes(a))[0] ?? null;
  }
}
