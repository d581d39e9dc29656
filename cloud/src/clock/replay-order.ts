import type { TraceProblem } from './replay-trace.ts';

/** Uptimes are kept in pages, so that neither many reports nor one absurd seq takes much memory. */
const PAGE = 64;

/** What of one boot was replayed: order by seq, each seq once. */
export class ReplayedOrder {
  readonly #pages = new Map<number, Float64Array>();
  #newest: { readonly seq: number; readonly uptimeMs: number } | null = null;

  /** @returns what is wrong with a report by those before it; `repeat` when it was here before, which changes nothing */
  judge(seq: number, uptimeMs: number): TraceProblem | 'repeat' | null {
    const known = this.#pages.get(Math.floor(seq / PAGE))?.[seq % PAGE] ?? NaN;
    if (known === uptimeMs) return 'repeat';
    if (!Number.isNaN(known)) return 'identity_conflict';
    return this.#contradicts(seq, uptimeMs) ? 'uptime_backwards' : null;
  }

  /** @param isBelieved whether the uptime contradicts nothing that is known of the clock */
  record(seq: number, uptimeMs: number, isBelieved: boolean): void {
    this.#page(seq)[seq % PAGE] = uptimeMs;
    if (this.#newest !== null && seq < this.#newest.seq) return;
    this.#newest = { seq, uptimeMs: isBelieved ? uptimeMs : (this.#newest?.uptimeMs ?? uptimeMs) };
  }

  /** Uptime never goes back along the order of one boot. */
  #contradicts(seq: number, uptimeMs: number): boolean {
    if (this.#newest === null) return false;
    return seq > this.#newest.seq ? uptimeMs < this.#newest.uptimeMs : uptimeMs > this.#newest.uptimeMs;
  }

  #page(seq: number): Float64Array {
    const at = Math.floor(seq / PAGE);
    const page = this.#pages.get(at) ?? new Float64Array(PAGE).fill(NaN);
    this.#pages.set(at, page);
    return page;
  }
}
