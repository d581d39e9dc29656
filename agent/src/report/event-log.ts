import type { Clock, Disk } from '../ports.ts';
import { EVENT_FILE, formatEvent, formatRefused, parseEvents } from './event-file.ts';
import { codeOf, type Log } from './log.ts';
import type { SealedReport } from './outbox.ts';
import { createDiskQueue } from './disk-queue.ts';

/** The file is written anew when more lines than this are of no use any more, and more than are of use. */
const USELESS_LINES = 64;
const FAILED = 'The event file cannot be written: events are kept in memory and sent nevertheless (is the disk full?)';
const utf8 = new TextEncoder();

/** Events on the disk, in order. A disk that fails is logged and tried again with the next change; it stops nothing. */
export interface EventLog {
  /** What earlier starts left. */
  readonly found: readonly SealedReport[];
  /** Resolves when the event is on the disk, or when the disk has failed; `kept` is called before anything else is written. */
  append(report: SealedReport, kept: () => void): Promise<void>;
  /** Never to be sent again, whatever happens to the memory of it. */
  refuse(digest: string): Promise<void>;
  /** Clears what is of no use, when that is worth a write. */
  tidy(options?: { all: boolean }): Promise<void>;
}

/** @param live the events that are held now, oldest first: what a rewrite keeps */
export async function openEventLog(
  disk: Disk,
  live: () => readonly SealedReport[],
  log: Log,
  clock: Clock,
): Promise<EventLog> {
  const bytes = (await disk.read(EVENT_FILE)) ?? new Uint8Array();
  const { reports, damaged, lines } = await parseEvents(bytes);
  if (damaged > 0) log.warn({ code: 'event_damaged', damaged }, 'Damaged lines of the event file were left out');
  if (reports.length > 0) log.info({ events: reports.length }, 'Events of earlier starts are not covered yet');
  const file: FileState = { disk, live, lines, spoiled: bytes.length > 0 && (damaged > 0 || bytes.at(-1) !== 0x0a) };
  let isWell = true;
  const inOrder = createDiskQueue(clock, {
    failed(cause) {
      file.spoiled = true;
      // Once until it can be written again: a full disk would be told with every event.
      if (isWell) log.error({ code: 'event_file_failed', cause: codeOf(cause), err: cause }, FAILED);
      isWell = false;
    },
    done() {
      if (!isWell) log.info({ code: 'event_file_well' }, 'The event file can be written again');
      isWell = true;
    },
    recover: () => rewrite(file, ''),
  });
  return {
    found: reports,
    append: (report, kept) =>
      inOrder(async () => {
        await addLine(file, await formatEvent(report));
        // Whoever reads the log may count on it: from here on no kill and no power cut loses the event.
        log.debug({ code: 'event_kept', start: report.start, sequence: report.sequence }, 'An event is on the disk');
      }, kept),
    refuse: (digest) => inOrder(async () => addLine(file, await formatRefused(digest))),
    tidy: ({ all } = { all: false }) =>
      inOrder(async () => {
        const useless = file.lines - live().length;
        if (all ? useless > 0 : useless > Math.max(USELESS_LINES, live().length)) await rewrite(file, '');
      }),
  };
}

interface FileState {
  readonly disk: Disk;
  readonly live: () => readonly SealedReport[];
  lines: number;
  /** Ends in something else than a whole line: the next write replaces the file, or it would be lost with that line. */
  spoiled: boolean;
}

async function addLine(file: FileState, line: string): Promise<void> {
  if (file.spoiled) return rewrite(file, line);
  await file.disk.append(EVENT_FILE, utf8.encode(line));
  file.lines += 1;
}

async function rewrite(file: FileState, extra: string): Promise<void> {
  const lines = await Promise.all(file.live().map(formatEvent));
  await file.disk.replace(EVENT_FILE, utf8.encode(lines.join('') + extra));
  file.lines = lines.length + (extra === '' ? 0 : 1);
  file.spoiled = false;
}
