import { hash } from 'node:crypto';
import type { Disk } from '../ports.ts';

/** What became of events of the kiosk's own software: lines, each with a check over all of it. */
export const NOTES_FILE = 'local-events.jsonl';
/** The newest so many are remembered: who asks again later may post an event twice. */
export const MOST_NOTES = 1_024;
/** The file is written anew when it has this many lines too many. */
const USELESS_LINES = 1_024;
/** More than any of our files has. */
const READ_BYTES = 4 * 1_048_576;
const CHECK_CHARS = 22;

/** Why nobody has to wait for an answer any more. */
export type Outcome =
  /** @param receivedAt when the cloud received it, where its answer says so */
  | { readonly state: 'recorded'; readonly receivedAt?: string }
  /** By the cloud, for good. */
  | { readonly state: 'rejected'; readonly code: string }
  /** Let go by the outbox, for its age or for want of room. */
  | { readonly state: 'dropped' };

export interface EventNote {
  readonly id: string;
  /** Of what was posted: who posts something else under the id is told so. Null where it is not known any more. */
  readonly content: string | null;
  readonly outcome: Outcome;
}

/** The newest notes, in memory and on the disk; in order, so that the oldest goes first. */
export class EventNotes {
  readonly #disk: Disk;
  readonly #notes: Map<string, EventNote>;
  #lines: number;

  private constructor(disk: Disk, notes: Map<string, EventNote>, lines: number) {
    this.#disk = disk;
    this.#notes = notes;
    this.#lines = lines;
  }

  /** @throws what the disk throws */
  static async open(disk: Disk): Promise<EventNotes> {
    const text = new TextDecoder().decode((await disk.read(NOTES_FILE, READ_BYTES)) ?? new Uint8Array());
    const lines = text.split('\n').filter((line) => line !== '');
    const notes = new Map<string, EventNote>();
    for (const note of lines.flatMap(parseNote)) keep(notes, note);
    return new EventNotes(disk, notes, lines.length);
  }

  /** Where the file cannot be read: nothing is known of earlier starts. */
  static unread = (disk: Disk): EventNotes => new EventNotes(disk, new Map(), 0);

  find = (id: string): EventNote | undefined => this.#notes.get(id);

  /** It is known at once, and on the disk when this resolves. @throws what the disk throws */
  async add(note: EventNote): Promise<void> {
    keep(this.#notes, note);
    this.#lines += 1;
    if (this.#lines <= MOST_NOTES + USELESS_LINES) return this.#disk.append(NOTES_FILE, bytesOf([note]));
    this.#lines = this.#notes.size;
    await this.#disk.replace(NOTES_FILE, bytesOf([...this.#notes.values()]));
  }
}

function keep(notes: Map<string, EventNote>, note: EventNote): void {
  notes.delete(note.id);
  notes.set(note.id, note);
  const [oldest] = notes.keys();
  if (notes.size > MOST_NOTES && oldest !== undefined) notes.delete(oldest);
}

/** A line begins with a newline, too: a write that was cut off costs itself alone. */
const bytesOf = (notes: readonly EventNote[]): Uint8Array => new TextEncoder().encode(notes.map(formatNote).join(''));

function formatNote({ id, content, outcome }: EventNote): string {
  const line = JSON.stringify([id, content, outcome]);
  return `\n${line} ${checkOf(line)}\n`;
}

/** Our own check stands for the types: nobody else writes such a line. */
function parseNote(text: string): EventNote[] {
  const end = text.length - CHECK_CHARS - 1;
  const line = text.slice(0, end);
  if (end < 1 || text.slice(end + 1) !== checkOf(line)) return [];
  const [id, content, outcome] = JSON.parse(line) as [string, string | null, Outcome];
  return [{ id, content, outcome }];
}

const checkOf = (line: string): string =>
  hash('sha256', `paddock-local-event ${line}`, 'base64url').slice(0, CHECK_CHARS);
