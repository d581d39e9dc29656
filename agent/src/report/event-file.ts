import { sha256Base64url } from '@paddock/shared/base64url.ts';
import type { SealedReport } from './outbox.ts';

export const EVENT_FILE = 'events.jsonl';

const FIELDS = ['incarnation', 'start', 'sequence', 'digest', 'nonce', 'envelope'] as const;
const CHECK_CHARS = 22;

/** One line an event, with a check over all of it. */
export const formatEvent = (report: SealedReport): Promise<string> => formatLine(FIELDS.map((field) => report[field]));

/** One line for an event that the cloud refused for good: it must not be sent again by a later start either. */
export const formatRefused = (digest: string): Promise<string> => formatLine([digest]);

export interface ParsedEvents {
  readonly reports: readonly SealedReport[];
  readonly lines: number;
  readonly damaged: number;
}

/**
 * Reads the lines back. Only the end of the last append can be missing after a power cut; a damaged line
 * anywhere is left out and counted.
 */
export async function parseEvents(bytes: Uint8Array): Promise<ParsedEvents> {
  const lines = new TextDecoder()
    .decode(bytes)
    .split('\n')
    .filter((line) => line !== '');
  const parsed = (await Promise.all(lines.map(parseLine))).filter((values) => values !== null);
  const refused = new Set(parsed.flatMap((values) => (values.length === 1 ? values : [])));
  const reports = new Map(
    parsed
      .flatMap((values) => (values.length === 1 ? [] : [toReport(values)]))
      .map((report) => [report.digest, report]),
  );
  return {
    reports: [...reports.values()].filter(({ digest }) => !refused.has(digest)),
    lines: lines.length,
    damaged: lines.length - parsed.length,
  };
}

/** Our own check stands for the types: nobody else writes such a line. */
function toReport(values: readonly unknown[]): SealedReport {
  const [incarnation, start, sequence, digest, nonce, envelope] = values as [
    string,
    number,
    number,
    string,
    string | null,
    string,
  ];
  return { incarnation, start, sequence, digest, nonce, envelope, event: true };
}

const formatLine = async (values: readonly unknown[]): Promise<string> =>
  `${JSON.stringify([...values, await checkOf(values)])}\n`;

async function parseLine(line: string): Promise<readonly unknown[] | null> {
  const values = parseArray(line);
  const content = values.slice(0, -1);
  return values.length > 1 && values.at(-1) === (await checkOf(content)) ? content : null;
}

const checkOf = async (values: readonly unknown[]): Promise<string> =>
  (await sha256Base64url(`paddock-event ${JSON.stringify(values)}`)).slice(0, CHECK_CHARS);

function parseArray(line: string): unknown[] {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
