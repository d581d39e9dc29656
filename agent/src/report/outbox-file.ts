import { hash } from 'node:crypto';
import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import type { SealedReport } from './sealed.ts';
import type { StartName } from './start-book.ts';

export const OUTBOX_FILE = 'outbox.jsonl';
/** What the first version of this agent wrote: events alone. Read once, and then gone. */
export const FIRST_FILE = 'events.jsonl';
/** More than any outbox takes: what is larger is not read to its end. */
export const READ_BYTES = 160 * 1_048_576;

const FORMAT = 2;
const BEGINNING = `[${FORMAT},"`;
const CHECK_CHARS = 22;
/** The largest envelope, and what stands around it. */
const MAX_LINE_BYTES = 65_536 + 1_024;
const [NEWLINE, ZERO] = ['\n', '\0'];

/** What can be wrong with a line. None of it touches another line. */
export const LINE_FAULTS = {
  outbox_cut: 'The end of the outbox file is missing: a power cut came in the middle of a write',
  outbox_zeros: 'Parts of the outbox file are full of zeros',
  outbox_damaged: 'Lines of the outbox file do not fit their check',
  outbox_foreign: 'Lines of the outbox file are none of ours',
  outbox_other_device: 'Lines of the outbox file are those of another device',
  outbox_line_too_long: 'Lines of the outbox file are longer than any of ours',
  outbox_doubled: 'Reports stand in the outbox file more than once',
  outbox_newer: 'Lines of the outbox file are of a newer version of this agent: they are kept for it',
} as const;
export type LineFault = keyof typeof LINE_FAULTS;

/** A file's content as this version understands it. */
export interface ParsedOutbox {
  /** Each once, in the order of the file. */
  readonly reports: readonly SealedReport[];
  /** Since when an agent knows of a start by trusted time. */
  readonly known: readonly { readonly start: StartName; readonly since: WallMs }[];
  /** Lines of a newer version, as they stand. */
  readonly newer: readonly string[];
  /** All lines, whatever they are. */
  readonly lines: number;
  readonly faults: ReadonlyMap<LineFault, number>;
}

/**
 * One line a report: `[2,"event"|"routine",device,incarnation,start,sequence,digest,nonce,envelope,check]`, and before
 * the check the id of an event that has one.
 */
export function formatReport(device: string, report: SealedReport): string {
  const { incarnation, start, sequence, digest, nonce, envelope, eventId } = report;
  const kind = report.event ? 'event' : 'routine';
  const values = [kind, device, incarnation, start, sequence, digest, nonce, envelope];
  return formatLine(eventId === undefined ? values : [...values, eventId]);
}

/** One line for a report that the cloud refused for good: it must not be sent again by a later start either. */
export const formatRefused = (device: string, digest: string): string => formatLine(['refused', device, digest]);

/** One line for the age of a start's reports: they were there at this moment. */
export const formatKnown = (device: string, { incarnation, start }: StartName, since: WallMs): string =>
  formatLine(['known', device, incarnation, start, since]);

const formatLine = (values: readonly unknown[]): string => {
  const content = JSON.stringify([FORMAT, ...values]);
  return `${content.slice(0, -1)},"${checkOf(content)}"]${NEWLINE}`;
};

const checkOf = (content: string): string =>
  hash('sha256', `paddock-outbox ${content}`, 'base64url').slice(0, CHECK_CHARS);

/** Reads lines back, whatever is in them: never throws, and believes no line whose check does not fit. */
export function parseOutbox(bytes: Uint8Array, device: string): ParsedOutbox {
  const reports = new Map<string, SealedReport>();
  const refused = new Set<string>();
  const known: { start: StartName; since: WallMs }[] = [];
  const newer: string[] = [];
  const faults = new Map<LineFault, number>();
  let lines = 0;
  const fault = (code: LineFault): void => void faults.set(code, (faults.get(code) ?? 0) + 1);
  for (const text of linesOf(bytes, fault)) {
    lines += 1;
    const line = parseLine(text, device);
    if ('fault' in line) fault(line.fault);
    if ('newer' in line && newer.push(line.newer) > 0) fault('outbox_newer');
    if ('refused' in line) refused.add(line.refused);
    if ('known' in line) known.push(line.known);
    if (!('report' in line)) continue;
    if (reports.has(line.report.digest)) fault('outbox_doubled');
    else reports.set(line.report.digest, line.report);
  }
  const wanted = [...reports.values()].filter(({ digest }) => !refused.has(digest));
  return { reports: wanted, known, newer, lines, faults };
}

/** Lines without their ends. A line may begin behind zeros: a file system may leave them where a write was cut off. */
function* linesOf(bytes: Uint8Array, fault: (code: LineFault) => void): Generator<string> {
  for (let from = 0; from < bytes.length;) {
    const found = bytes.indexOf(NEWLINE.charCodeAt(0), from);
    const to = found === -1 ? bytes.length : found;
    const text =
      to - from > MAX_LINE_BYTES ? withoutZeros(bytes, from, to, fault) : utf8.decode(bytes.subarray(from, to));
    from = to + 1;
    if (text.includes(ZERO)) fault('outbox_zeros');
    const lines = text.split(ZERO).filter((line) => line !== '');
    // A whole line that lacks no more than its newline is as good as any.
    const isCut = found === -1 && lines.length > 0 && !lines.at(-1)?.endsWith(']');
    if (isCut && lines.pop() !== undefined) fault('outbox_cut');
    yield* lines;
  }
}

const utf8 = new TextDecoder();

/** Zeros without end are no line; anything else of that length is none of ours. */
function withoutZeros(bytes: Uint8Array, from: number, to: number, fault: (code: LineFault) => void): string {
  const content = bytes.subarray(from, to).findIndex((byte) => byte !== 0);
  if (content > 0 || content === -1) fault('outbox_zeros');
  if (content === -1) return '';
  if (to - from - content <= MAX_LINE_BYTES) return utf8.decode(bytes.subarray(from + content, to));
  fault('outbox_line_too_long');
  return '';
}

type Line =
  | { readonly report: SealedReport }
  | { readonly refused: string }
  | { readonly known: { readonly start: StartName; readonly since: WallMs } }
  | { readonly newer: string }
  | { readonly fault: LineFault };

function parseLine(text: string, device: string): Line {
  const values = parseArray(text);
  const check = values.at(-1);
  // What begins as one of our lines and is none was one once.
  if (values.length < 2 || typeof check !== 'string')
    return { fault: text.startsWith(BEGINNING) ? 'outbox_damaged' : 'outbox_foreign' };
  if (typeof values[0] === 'number' && values[0] > FORMAT) return { newer: text };
  const content = values.slice(0, -1);
  if (values[0] !== FORMAT) return parseFirstFormat(content, check);
  if (check !== checkOf(JSON.stringify(content))) return { fault: 'outbox_damaged' };
  return content[2] === device ? toLine(content) : { fault: 'outbox_other_device' };
}

/** Our own check stands for the types: nobody else writes such a line. */
function toLine([, kind, , ...rest]: readonly unknown[]): Line {
  if (kind === 'refused') return { refused: rest[0] as string };
  if (kind === 'known') {
    const [incarnation, start, since] = rest as [string, number, number];
    return { known: { start: { incarnation, start }, since: wallMs(since) } };
  }
  return { report: toReport(rest, kind === 'event') };
}

function toReport(values: readonly unknown[], event: boolean): SealedReport {
  const [incarnation, start, sequence, digest, nonce, envelope, eventId] = values as [
    string,
    number,
    number,
    string,
    string | null,
    string,
    string | undefined,
  ];
  const report = { incarnation, start, sequence, digest, nonce, envelope, event };
  return eventId === undefined ? report : { ...report, eventId };
}

/** An event, or the digest of one that was refused, as the first version wrote them. */
function parseFirstFormat(content: readonly unknown[], check: string): Line {
  const expected = hash('sha256', `paddock-event ${JSON.stringify(content)}`, 'base64url').slice(0, CHECK_CHARS);
  const isOurs = typeof content[0] === 'string' && (content.length === 6 || content.length === 1);
  if (!isOurs || check.length !== CHECK_CHARS) return { fault: 'outbox_foreign' };
  if (check !== expected) return { fault: 'outbox_damaged' };
  return content.length === 1 ? { refused: content[0] as string } : { report: toReport(content, true) };
}

function parseArray(text: string): unknown[] {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}
