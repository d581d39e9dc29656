import type { AuditEntry } from '../ports.ts';

/** How much of what is refused is written; the rest is counted. */
export interface FloodLimit {
  readonly windowMs: number;
  /** Written of one kind in a window of one who is known, or from one address. */
  readonly ofOne: number;
  /** Written in a window, of all kinds and addresses: of strangers so many, and as many of those who are known. */
  readonly inAll: number;
}

export const FLOOD_LIMIT: FloodLimit = { windowMs: 60_000, ofOne: 5, inAll: 200 };
/** Addresses and actors that a count names: the rest is only counted. */
const NAMED = 10;

interface Counted {
  readonly action: string;
  readonly result: AuditEntry['result'];
  readonly code: string | undefined;
  readonly addresses: Set<string>;
  readonly actors: Set<string>;
  count: number;
}

/**
 * Invariant: whoever is refused, however often and from however many addresses, causes a bounded number of entries in a
 * window, and nothing that was refused is missing from the counts. What was done is never sampled, and no stranger hides
 * what somebody known was refused. Memory is bounded by `inAll` keys and by the kinds of refusals, which are ours.
 */
export class Flood {
  readonly #limit: FloodLimit;
  readonly #written = new Map<string, number>();
  readonly #counted = new Map<string, Counted>();
  readonly #writtenInAll = { strangers: 0, known: 0 };

  constructor(limit: FloodLimit = FLOOD_LIMIT) {
    this.#limit = limit;
  }

  /** @returns whether the entry is to be written; otherwise it was counted */
  admits(entry: AuditEntry): boolean {
    if (entry.result === 'done') return true;
    const kind = `${entry.action} ${entry.result} ${entry.code ?? ''}`;
    const who = entry.actor === 'unknown' ? 'strangers' : 'known';
    const one = `${kind} ${who} ${sourceOf(entry)}`;
    const written = this.#written.get(one) ?? 0;
    if (written >= this.#limit.ofOne || this.#writtenInAll[who] >= this.#limit.inAll) {
      this.#count(kind, entry);
      return false;
    }
    this.#written.set(one, written + 1);
    this.#writtenInAll[who] += 1;
    return true;
  }

  /** Ends the window. @returns an entry for each kind that was counted in it */
  endWindow(): AuditEntry[] {
    const counted = [...this.#counted.values()];
    this.#written.clear();
    this.#counted.clear();
    Object.assign(this.#writtenInAll, { strangers: 0, known: 0 });
    return counted.map(({ action, result, code, count, addresses, actors }) => ({
      actor: 'unknown',
      action,
      result,
      code,
      detail: {
        notWritten: count,
        withinMs: this.#limit.windowMs,
        addresses: [...addresses].join(' '),
        actors: [...actors].join(' '),
      },
    }));
  }

  #count(kind: string, { action, result, code, address, actor }: AuditEntry): void {
    const nobody = { addresses: new Set<string>(), actors: new Set<string>() };
    const counted = this.#counted.get(kind) ?? { action, result, code, ...nobody, count: 0 };
    counted.count += 1;
    if (address !== undefined && counted.addresses.size < NAMED) counted.addresses.add(address);
    if (counted.actors.size < NAMED) counted.actors.add(actor);
    this.#counted.set(kind, counted);
  }
}

/**
 * Many who are known may share an address, and none of them hides another one. A stranger may say to be anybody: only
 * where nobody knows the address, as behind another broker, what it says to be has to do.
 */
const sourceOf = ({ actor, address, deviceId }: AuditEntry): string =>
  actor === 'unknown' ? (address ?? deviceId ?? '') : actor;
