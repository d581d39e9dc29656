import type { Held } from './sealed.ts';

/**
 * Where each report that is held would survive: exactly one of routine in memory only, routine on the disk, events.
 * These are the queues by which reports are dropped, oldest first. Names are digests.
 */
export class Kept {
  /** Routine reports that only memory holds. */
  readonly loose = new Set<string>();
  /** Routine reports on the disk. */
  readonly filed = new Set<string>();
  readonly events = new Set<string>();
  /** Events that the disk did not take. */
  readonly owed = new Set<string>();
  #bytes = 0;
  #eventBytes = 0;

  /** Envelopes of events and of what is on the disk, and how many they are. */
  get onDisk(): { readonly reports: number; readonly bytes: number } {
    return { reports: this.events.size + this.filed.size, bytes: this.#bytes };
  }

  /** Envelopes of events alone: the last to be dropped. */
  get eventBytes(): number {
    return this.#eventBytes;
  }

  add({ digest, event, onDisk, envelope }: Held): void {
    (event ? this.events : onDisk ? this.filed : this.loose).add(digest);
    if (event && !onDisk) this.owed.add(digest);
    if (event || onDisk) this.#bytes += envelope.length;
    if (event) this.#eventBytes += envelope.length;
  }

  /** It is on the disk now. */
  written({ digest, envelope }: Held): void {
    this.owed.delete(digest);
    if (!this.loose.delete(digest)) return;
    this.filed.add(digest);
    this.#bytes += envelope.length;
  }

  remove({ digest, event, onDisk, envelope }: Held): void {
    for (const queue of [this.loose, this.filed, this.events, this.owed]) queue.delete(digest);
    if (event || onDisk) this.#bytes -= envelope.length;
    if (event) this.#eventBytes -= envelope.length;
  }
}
