import type { Clock, Disk } from '../ports.ts';
import { createDiskQueue } from './disk-queue.ts';
import { codeOf, type Log } from './log.ts';
import {
  FIRST_FILE,
  formatKnown,
  formatRefused,
  LINE_FAULTS,
  OUTBOX_FILE,
  parseOutbox,
  READ_BYTES,
  type LineFault,
  type ParsedOutbox,
} from './outbox-file.ts';
import type { Outbox } from './outbox.ts';
import { OutboxWriter } from './outbox-writer.ts';
import type { SealedReport } from './sealed.ts';
import type { StartBook, StartName } from './start-book.ts';

/** The file is written anew when more of it than this is no report of use, and more than is. */
const USELESS_BYTES = 65_536;
const FAILED =
  'The outbox file cannot be written: reports are kept in memory and sent nevertheless (is the disk full?)';

/** Reports on the disk, in order. A disk that fails is logged and tried again with the next change; it stops nothing. */
export interface OutboxLog {
  /** Whether a later start of the agent could ask about this one: a report in the file does. */
  asks(start: StartName): boolean;
  /** Resolves when they are on the disk, or when it has failed; `then` hears which before anything else is written. */
  append(pick: () => readonly SealedReport[], then: (written: readonly SealedReport[] | null) => void): Promise<void>;
  /** Never to be sent again, whatever happens to the memory of it. */
  refuse(digest: string): Promise<void>;
  /** Writes down since when the reports of a start are known of. */
  mark(books: readonly StartBook[]): Promise<void>;
  /** Clears what is of no use, when that is worth a write. */
  tidy(options?: { all: boolean }): Promise<void>;
}

export interface OutboxLogParts {
  readonly disk: Disk;
  readonly clock: Pick<Clock, 'sleep'>;
  readonly log: Log;
  readonly device: string;
  /** What is held now: what a rewrite keeps, and what the disk lacks when it is back. */
  readonly outbox: Pick<Outbox, 'toKeep' | 'onDisk' | 'unwritten' | 'written' | 'aged'>;
}

export interface OpenedOutboxLog {
  readonly file: OutboxLog;
  /** What earlier starts left. No part of the log, which would keep all of it in memory for as long as it runs. */
  readonly found: Pick<ParsedOutbox, 'reports' | 'known'>;
}

export async function openOutboxLog(parts: OutboxLogParts): Promise<OpenedOutboxLog> {
  const { log, device, outbox } = parts;
  const { found, writer } = await readFiles(parts);
  let isWell = true;
  let isTidying = false;
  const inOrder = createDiskQueue(parts.clock, {
    failed(cause) {
      writer.spoil();
      // Once until it can be written again: a full disk would be told with every event.
      if (isWell) log.error({ code: 'outbox_file_failed', cause: codeOf(cause), err: cause }, FAILED);
      isWell = false;
    },
    done() {
      if (!isWell) log.info({ code: 'outbox_file_well' }, 'The outbox file can be written again');
      isWell = true;
    },
    async recover() {
      const owed = outbox.unwritten(false);
      await writer.append(owed);
      outbox.written(owed);
    },
  });
  const isUseless = (all: boolean): boolean => {
    const { reports, bytes } = outbox.onDisk;
    if (all && (writer.hasFirst || writer.lines > reports)) return true;
    // A rewrite needs room for a second file: on a disk that takes no line it is not tried.
    const isPossible = reports === 0 || (isWell && writer.mayRewrite);
    if (writer.hasFirst && writer.mayRewrite) return true;
    return isPossible && writer.bytes - bytes > Math.max(USELESS_BYTES, bytes);
  };
  const file: OutboxLog = {
    asks: (start) => writer.asks(start),
    append(pick, then) {
      let written: readonly SealedReport[] | null = null;
      const write = async (): Promise<void> => {
        const reports = pick();
        await writer.append(reports);
        written = reports;
      };
      return inOrder(write, () => then(written));
    },
    refuse: (digest) => inOrder(() => writer.addLines([formatRefused(device, digest)])),
    mark: (books) =>
      inOrder(() =>
        writer.addLines(books.flatMap((book) => (book.since === null ? [] : formatKnown(device, book, book.since)))),
      ),
    async tidy({ all } = { all: false }) {
      if (!isUseless(all) || (isTidying && !all)) return;
      isTidying = true;
      // Another write may have cleared it meanwhile.
      const work = async (): Promise<void> => {
        if (isUseless(all)) await writer.rewrite(outbox.toKeep(), outbox.aged());
      };
      await inOrder(work, () => void (isTidying = false));
    },
  };
  return { file, found };
}

/** What the files of this device hold, told where something is wrong with it. */
async function readFiles({
  disk,
  device,
  log,
}: OutboxLogParts): Promise<{ found: ParsedOutbox; writer: OutboxWriter }> {
  const [bytes, first] = await Promise.all([disk.read(OUTBOX_FILE, READ_BYTES), disk.read(FIRST_FILE, READ_BYTES)]);
  const content = bytes ?? new Uint8Array();
  const found = parseOutbox(content, device);
  const old = parseOutbox(first ?? new Uint8Array(), device);
  tellFaults(log, found.faults);
  tellFaults(log, old.faults);
  const digests = new Set(found.reports.map(({ digest }) => digest));
  const reports = [...old.reports.filter(({ digest }) => !digests.has(digest)), ...found.reports];
  if (reports.length > 0) log.info({ reports: reports.length }, 'Reports of earlier starts are not covered yet');
  const isCut = content.length > 0 && content.at(-1) !== '\n'.charCodeAt(0);
  const writer = new OutboxWriter(disk, device, { ...found, bytes: content.length, isCut, hasFirst: first !== null });
  return { found: { ...found, reports }, writer };
}

function tellFaults(log: Log, faults: ReadonlyMap<LineFault, number>): void {
  for (const [code, lines] of faults) log.warn({ code, lines }, LINE_FAULTS[code]);
}
