import type { ReportedOutput } from '@paddock/shared/desired.ts';
import { largestReadingBytes } from '../sense/reading-size.ts';
import { outputReading, sensorOfOutput } from './output-readings.ts';
import type { ActConfig } from './settings.ts';
import { DETAIL_CHARS } from './standing.ts';

/** Of a text of 64 characters as JSON: each may be written as six. */
const LONGEST_VALUE = '\u{1}'.repeat(64);
const utf8 = new TextEncoder();

/** The most that outputs can take in a report, as readings and by what is desired of them, in bytes of JSON. */
export function largestOutputsBytes({ outputs }: ActConfig): number {
  return Object.entries(outputs).reduce((sum, [name, config]) => {
    const isText = config.kind === 'text' || config.kind === 'enum';
    const value = isText ? LONGEST_VALUE : -Number.MAX_VALUE;
    const error = { code: 'x'.repeat(32), detail: 'x'.repeat(DETAIL_CHARS) };
    const reported: ReportedOutput = { state: 'applied', desired: LONGEST_VALUE, actual: value, error };
    const bytes = utf8.encode(JSON.stringify({ [name]: reported })).length;
    return sum + bytes + largestReadingBytes(outputReading(name), sensorOfOutput(config));
  }, 0);
}
