import type { FixedFile } from '../ports-past.ts';
import type { Clock } from '../ports.ts';
import { codeOf, type Log } from '../report/log.ts';
import { formatEntry, parseEntry, shortBoot, type Entry, type EntryKind, type Level, type More } from './entry.ts';
import { decodeRing, EMPTY_RING, encodeEntry, RING_BYTES } from './ring.ts';

/** Entries that wait for a disk that hangs. */
const MOST_WAITING = 128;
/**
 * What may be written: so many at once, then one in three minutes, 480 a day and no more. Each costs the disk a page
 * and the place in its journal where it says when the file was changed.
 */
const BURST = 64;
const NEXT_AFTER_MS = 180_000;

/** An entry with its number: a hole between two numbers is an entry that is damaged. */
export interface Kept extends Entry {
  readonly sequence: number;
}

/** Why the recorder has nothing to tell, where it has not. */
export type RecorderLoss = 'missing' | 'foreign' | 'unreadable';

/** Where the agent writes down what it does, for its next start. */
export interface Recorder {
  /** What happened, within the day's measure. */
  note(level: Level, what: string, more?: More): void;
  /** That it lives, and how. */
  pulse(more: More): void;
  /** An entry beyond any measure; when it resolves, a power cut leaves it. Never rejects. */
  keep(kind: EntryKind, level: Level, what: string, more?: More): Promise<void>;
  /** The last words of a process that breaks: written when this returns, unless the disk hangs. */
  lastWords(what: string, more: More): void;
  close(): Promise<void>;
}

export interface FoundRecord {
  readonly entries: readonly Kept[];
  readonly loss: RecorderLoss | null;
}

/** @param bytes what the file held; null where there was none */
export function readRecord(bytes: Uint8Array | null): FoundRecord {
  if (bytes === null) return { entries: [], loss: 'missing' };
  const entries = decodeRing(bytes).entries.flatMap(({ sequence, text }): Kept[] => {
    const entry = parseEntry(text);
    return entry === null ? [] : [{ ...entry, sequence }];
  });
  const isNew = bytes.every((byte) => byte === 0);
  return { entries, loss: entries.length > 0 ? null : isNew ? 'missing' : 'foreign' };
}

export interface RecorderParts {
  readonly clock: Clock;
  readonly log: Pick<Log, 'warn'>;
  readonly bootId: string;
  readonly start: number;
}

/** @param file null where the disk takes none: then nothing is written down, and nothing breaks */
export function createRecorder(file: FixedFile | null, found: Uint8Array | null, parts: RecorderParts): Recorder {
  const { clock, bootId, start } = parts;
  const writer = createRingWriter(file, found, parts.log);
  const allowed = createAllowance(clock);
  const entryOf = (kind: EntryKind, level: Level, what: string, more: More = {}): string => {
    const [at, segment] = [clock.monotonic(), clock.segment()];
    return formatEntry({ kind, boot: shortBoot(bootId), segment, start, at, level, what, more });
  };
  return {
    note(level, what, more = {}) {
      const left = allowed();
      if (left === null) return;
      writer.write(entryOf('note', level, what, left > 0 ? { ...more, leftOut: left } : more));
    },
    pulse: (more) => writer.write(entryOf('pulse', 'info', 'The agent runs', more)),
    async keep(kind, level, what, more) {
      writer.write(entryOf(kind, level, what, more));
      await writer.sync();
    },
    lastWords: (what, more) => writer.writeNow(entryOf('error', 'error', what, more)),
    close: () => writer.close(),
  };
}

/** @returns what asks for one entry: how many were left out before it, or null when there is no room for it */
function createAllowance(clock: Pick<Clock, 'monotonic'>): () => number | null {
  let room = BURST;
  let countedAt = clock.monotonic();
  let left = 0;
  return () => {
    const now = clock.monotonic();
    room = Math.min(BURST, room + (now - countedAt) / NEXT_AFTER_MS);
    countedAt = now;
    if (room < 1) {
      left += 1;
      return null;
    }
    room -= 1;
    const before = left;
    left = 0;
    return before;
  };
}

interface RingWriter {
  write(text: string): void;
  writeNow(text: string): void;
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** One write after the other, in order. A disk that hangs holds nobody up, and the last words then go without it. */
function createRingWriter(file: FixedFile | null, found: Uint8Array | null, log: Pick<Log, 'warn'>): RingWriter {
  if (file === null) return { write() {}, writeNow() {}, async sync() {}, async close() {} };
  let { next } = found?.length === RING_BYTES ? decodeRing(found) : EMPTY_RING;
  let waiting = 0;
  let isTold = false;
  let last: Promise<unknown> = Promise.resolve();
  const failed = (cause: unknown): void => {
    if (!isTold) log.warn({ code: codeOf(cause), err: cause }, 'The flight recorder cannot be written to');
    isTold = true;
  };
  const encode = (text: string): { bytes: Uint8Array; at: number } => {
    const { bytes, at, next: after } = encodeEntry(text, next);
    next = after;
    return { bytes, at };
  };
  const inOrder = (work: () => Promise<void>): Promise<void> => {
    waiting += 1;
    const done = last.then(work).catch(failed);
    last = done.then(() => (waiting -= 1));
    return done;
  };
  return {
    write(text) {
      if (waiting >= MOST_WAITING) return;
      const { bytes, at } = encode(text);
      void inOrder(() => file.write(at, bytes));
    },
    writeNow(text) {
      if (waiting >= MOST_WAITING) return;
      const { bytes, at } = encode(text);
      try {
        file.writeNow(at, bytes);
      } catch (cause) {
        failed(cause);
      }
    },
    sync: () => inOrder(() => file.sync()),
    close: () => inOrder(() => file.close()),
  };
}
