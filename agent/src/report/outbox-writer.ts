import type { Disk } from '../ports.ts';
import { FIRST_FILE, formatKnown, formatReport, OUTBOX_FILE } from './outbox-file.ts';
import type { SealedReport } from './sealed.ts';
import { startKey, type StartBook, type StartName } from './start-book.ts';

const utf8 = new TextEncoder();

export interface FileFacts {
  readonly bytes: number;
  readonly lines: number;
  /** Ends in something else than a whole line. */
  readonly isCut: boolean;
  /** Lines of a newer version, which are kept as they stand. */
  readonly newer: readonly string[];
  /** The first version's file is there. */
  readonly hasFirst: boolean;
}

/** Writes the one file. Each call has to wait for the one before. */
export class OutboxWriter {
  readonly #disk: Disk;
  readonly #device: string;
  readonly #newer: readonly string[];
  readonly #newerBytes: number;
  /** Starts of this process with a report in the file that asks. */
  #asking = new Set<string>();
  #bytes: number;
  #lines: number;
  #isSpoiled: boolean;
  #hasFirst: boolean;
  #rewriteAbove = 0;

  constructor(disk: Disk, device: string, { bytes, lines, isCut, newer, hasFirst }: FileFacts) {
    this.#disk = disk;
    this.#device = device;
    this.#newer = newer;
    this.#newerBytes = newer.reduce((sum, line) => sum + utf8.encode(line).length + 1, 0);
    this.#bytes = bytes;
    this.#lines = lines;
    this.#isSpoiled = isCut;
    this.#hasFirst = hasFirst;
  }

  /** What was written, without what failed half way, and without what a newer version left: no rewrite makes that less. */
  get bytes(): number {
    return this.#bytes - this.#newerBytes;
  }

  get lines(): number {
    return this.#lines - this.#newer.length;
  }

  /** Whether a later start of the agent could ask about this one, by a report that was written since. */
  asks = (start: StartName): boolean => this.#asking.has(startKey(start));

  get hasFirst(): boolean {
    return this.#hasFirst;
  }

  /** A write failed: who knows what the file ends in. */
  spoil(): void {
    this.#isSpoiled = true;
  }

  async append(reports: readonly SealedReport[]): Promise<void> {
    await this.addLines(reports.map((report) => formatReport(this.#device, report)));
    for (const report of reports) if (report.nonce !== null) this.#asking.add(startKey(report));
  }

  async addLines(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    // A newline of its own ends what an earlier write left half done: only that line is lost, and it was promised to nobody.
    const bytes = utf8.encode((this.#isSpoiled ? '\n' : '') + lines.join(''));
    await this.#disk.append(OUTBOX_FILE, bytes);
    this.#bytes += bytes.length;
    this.#lines += lines.length;
    this.#isSpoiled = false;
  }

  /** Whether a rewrite may be tried: after one that failed for want of room, when the file has grown a good deal. */
  get mayRewrite(): boolean {
    return this.#bytes >= this.#rewriteAbove;
  }

  /** Replaces the file by what is of use. */
  async rewrite(reports: readonly SealedReport[], aged: readonly StartBook[]): Promise<void> {
    const known = aged.flatMap((book) => (book.since === null ? [] : formatKnown(this.#device, book, book.since)));
    const newer = this.#newer.map((line) => `${line}\n`);
    const lines = [...newer, ...known, ...reports.map((report) => formatReport(this.#device, report))];
    const bytes = utf8.encode(lines.join(''));
    this.#rewriteAbove = this.#bytes * 2 + 1;
    if (bytes.length > 0) await this.#disk.replace(OUTBOX_FILE, bytes);
    else await this.#disk.remove(OUTBOX_FILE);
    this.#bytes = bytes.length;
    this.#lines = lines.length;
    this.#rewriteAbove = 0;
    this.#asking = new Set(reports.filter(({ nonce }) => nonce !== null).map(startKey));
    this.#isSpoiled = false;
    if (this.#hasFirst) await this.#disk.remove(FIRST_FILE);
    this.#hasFirst = false;
  }
}
