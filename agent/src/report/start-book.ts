import { wallMs, type UptimeMs, type WallMs } from '@paddock/shared/time.ts';
import type { SealedReport } from './sealed.ts';

export type StartName = Pick<SealedReport, 'incarnation' | 'start'>;

export const startKey = ({ incarnation, start }: StartName): string => `${incarnation} ${start}`;

/** Oldest first: incarnations as they appear, then by start and sequence. */
export function inOrderOfStarts(reports: readonly SealedReport[]): SealedReport[] {
  const seen = [...new Set(reports.map(({ incarnation }) => incarnation))];
  const place = new Map(seen.map((incarnation, index) => [incarnation, index]));
  const placeOf = ({ incarnation }: SealedReport): number => place.get(incarnation) ?? 0;
  return reports.toSorted((a, b) => placeOf(a) - placeOf(b) || a.start - b.start || a.sequence - b.sequence);
}

/**
 * What is held of one start. Only an answer to a report of this very start says what of it is recorded, so its
 * newest report that asks is remembered even when it is covered itself: sent once more, it is answered again.
 */
export class StartBook {
  readonly incarnation: string;
  readonly start: number;
  /** The newest report of the start that asks. */
  asker: SealedReport | null = null;
  /** Sent since the last one that asks, without an ask of their own; and those of them that were sent again. */
  unasked = 0;
  unaskedAgain = 0;
  /** Since when an agent knows of it by trusted time: its reports are at least as old. */
  since: WallMs | null = null;
  /** Whether that stands on the disk. */
  isMarked = false;
  /** The first answer of this process; and the least by which an answer's time was ahead of the uptime. */
  #heardAt: UptimeMs | null = null;
  #leastAheadMs = Infinity;
  /** In order of sequence; what stands before `#from` is gone. */
  #held: { readonly sequence: number; readonly digest: string }[] = [];
  #from = 0;

  constructor({ incarnation, start }: StartName) {
    this.incarnation = incarnation;
    this.start = start;
  }

  get size(): number {
    return this.#held.length - this.#from;
  }

  /** The digest of the report with the lowest sequence, and of that with the highest. */
  get first(): string | undefined {
    return this.#held[this.#from]?.digest;
  }
  get last(): string | undefined {
    return this.size === 0 ? undefined : this.#held.at(-1)?.digest;
  }

  /**
   * How old its reports are at least, in ms. Since the first answer the uptime counts. Before that only what answers
   * tell can: one of a cloud whose clock is years ahead or behind must not let anything go, so the least that any of
   * them says counts, and what is written down is the latest that any said of the first.
   * @param told what an answer that came at this uptime says of the time
   */
  ageMs(told: WallMs, at: UptimeMs): number {
    const heardMs = at - (this.#heardAt ??= at);
    if (!this.isMarked) this.since = wallMs(Math.max(this.since ?? -Infinity, told - heardMs));
    this.#leastAheadMs = Math.min(this.#leastAheadMs, told - at);
    return Math.max(heardMs, this.#leastAheadMs + at - (this.since ?? told));
  }

  digests(): string[] {
    return this.#held.slice(this.#from).map(({ digest }) => digest);
  }

  /** Takes out what is held from one sequence to another, both included. @returns their digests */
  takeOut(first: number, last: number): string[] {
    const place = this.#place(first);
    return this.#cut(place, this.#place(last + 1) - place).map(({ digest }) => digest);
  }

  add({ sequence, digest }: SealedReport): void {
    this.#held.splice(this.#place(sequence + 1), 0, { sequence, digest });
  }

  remove({ sequence, digest }: SealedReport): void {
    for (let at = this.#place(sequence); this.#held[at]?.sequence === sequence; at += 1)
      if (this.#held[at]?.digest === digest) return void this.#cut(at, 1);
  }

  /** The oldest go first nearly always: they are passed over, and the rest is moved only now and then. */
  #cut(at: number, count: number): { readonly digest: string }[] {
    if (at !== this.#from) return this.#held.splice(at, count);
    const taken = this.#held.slice(at, at + count);
    this.#from += count;
    if (this.#from > this.#held.length / 2) {
      this.#held = this.#held.slice(this.#from);
      this.#from = 0;
    }
    return taken;
  }

  /** The place of the first report whose sequence is not lower. */
  #place(sequence: number): number {
    let [low, high] = [this.#from, this.#held.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#held[middle]?.sequence ?? 0) < sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
