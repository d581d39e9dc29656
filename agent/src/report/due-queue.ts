import type { UptimeMs } from '@paddock/shared/time.ts';
import { Heap } from './heap.ts';

/** When a report is due, and its place among all that are held. */
export interface Due {
  readonly digest: string;
  readonly place: number;
  readonly dueAt: UptimeMs;
}

const byPlace = (a: Due, b: Due): boolean => a.place < b.place;
const byTime = (a: Due, b: Due): boolean => a.dueAt < b.dueAt;

/**
 * What is due, oldest report first. A date that was changed or called off stays in here until it comes up, and
 * is then passed over: `holds` says whether it still stands.
 */
export class DueQueue {
  readonly #holds: (due: Due) => boolean;
  #waiting = new Heap<Due>(byTime);
  #ready = new Heap<Due>(byPlace);

  constructor(holds: (due: Due) => boolean) {
    this.#holds = holds;
  }

  add(due: Due): void {
    this.#waiting.add(due);
  }

  /** Forgets every date and takes these instead, which are due at once, in order of place. */
  restart(all: readonly Due[]): void {
    this.#waiting = new Heap<Due>(byTime);
    this.#ready = new Heap<Due>(byPlace, all);
  }

  /** The digest of the oldest report that is due. */
  first(now: UptimeMs): string | null {
    for (let next = this.#soonest(); next !== null && next.dueAt <= now; next = this.#soonest()) {
      this.#ready.add(next);
      this.#waiting.takeFirst();
    }
    return this.#oldest()?.digest ?? null;
  }

  /** When something will be due next; null when nothing will. */
  nextAt(): UptimeMs | null {
    const [ready, waiting] = [this.#oldest()?.dueAt, this.#soonest()?.dueAt];
    return ready ?? waiting ?? null;
  }

  #oldest = (): Due | null => this.#standing(this.#ready);
  #soonest = (): Due | null => this.#standing(this.#waiting);

  #standing(heap: Heap<Due>): Due | null {
    while (heap.first !== undefined && !this.#holds(heap.first)) heap.takeFirst();
    return heap.first ?? null;
  }
}
