import type { ReportLine, TimeRequestLine } from '@paddock/cloud/clock/replay-trace.ts';
import type { Truth } from './trace.ts';

/** A message to the cloud, as its device keeps it: the same bytes are sent again. */
export interface Sealed {
  readonly line: ReportLine | TimeRequestLine;
  readonly truth: Truth | null;
  /** The boot that it was made in. */
  readonly boot: { readonly broken: number };
  readonly asks: boolean;
  /** When it was handed to the connection last; null until it was. */
  handedAt: number | null;
  /** The uptime when it was handed over first, rounded down: an exchange begins there. */
  requestUptimeMs: number | null;
  answered: boolean;
  /** Whether the cloud has it: the device learns that from answers only. */
  recorded: boolean;
}

/** As many reports as a device keeps; past that the oldest is dropped. */
const MOST_KEPT = 1500;

/** Reports that no answer covers yet, oldest first. */
export class Outbox {
  #kept: Sealed[] = [];

  keep(sealed: Sealed): void {
    this.#kept.push(sealed);
    if (this.#kept.length > MOST_KEPT) this.#kept.shift();
  }

  /** What an answer that leaves the cloud now can say of them. */
  recorded(): ReadonlySet<Sealed> {
    return new Set(this.#kept.filter(({ recorded }) => recorded));
  }

  release(covered: ReadonlySet<Sealed>): void {
    this.#kept = this.#kept.filter((sealed) => !covered.has(sealed));
  }

  /** What should have arrived before the answered message did, and is to be sent again. */
  missing(before: number): Sealed[] {
    return this.#kept.filter(({ handedAt }) => handedAt === null || handedAt < before);
  }

  /** @param survives what a power cut leaves of the reports: those that had reached the disk */
  powerCut(survives: boolean): void {
    if (!survives) this.#kept = [];
  }
}
