import { toInstant, wallMs } from '@paddock/shared/time.ts';
import type { Clock, Log, Metrics, Sql } from '../ports.ts';
import type { Authority } from './authority.ts';
import { endsSoon, isAlive, livingOf } from './life.ts';
import { listingsOf, SHOWN_DIGITS, standingOf, type Listing, type Standing } from './standing.ts';

/** Somebody may put another one beside those that are held, or take one away. */
const LOOK_EVERY_MS = 5_000;

export interface AuthoritiesParts {
  readonly sql: Sql;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Those that this service has, oldest first, as they stand now, with those that have ended. */
  readonly load: () => Promise<readonly Authority[]>;
}

/**
 * The authorities of this service: one issues, others are beside it, because they are to come or were there before.
 * Which is which follows from the lists of keys and from what an operator chose, so that it is the same on every instance.
 */
export class Authorities {
  readonly #parts: AuthoritiesParts;
  readonly #listeners: (() => void)[] = [];
  #held: readonly Authority[];
  #listings: ReadonlyMap<string, Listing> = new Map();
  #listVersion: number;
  #standing: Standing<Authority>;
  #complaint = '';
  /** Who was told to have ended, or to end soon. */
  readonly #told = new Set<string>();

  private constructor(parts: AuthoritiesParts, held: readonly Authority[], state: State) {
    this.#parts = parts;
    this.#held = held;
    this.#listings = state.listings;
    this.#listVersion = state.listVersion;
    this.#standing = standingOf(held, state.listings, state.chosen);
  }

  /** @throws TrustError, and what reading files throws */
  static async open(parts: AuthoritiesParts): Promise<Authorities> {
    const all = await parts.load();
    const opened = new Authorities(parts, livingOf(all, parts.clock.wall()), await stateIn(parts.sql));
    opened.#tellEnds(all);
    return opened;
  }

  get issuing(): Authority {
    return this.#standing.issuing;
  }

  get beside(): readonly Authority[] {
    return this.#standing.beside;
  }

  /** Client certificates of these are good: PEM, one after the other. */
  get acceptedPem(): string {
    return this.accepted.map(({ certificatePem }) => certificatePem).join('');
  }

  get accepted(): readonly Authority[] {
    return [this.issuing, ...this.beside];
  }

  /** When the one that issues ends, in words for operators. */
  get ending(): string {
    const until = `issues until ${toInstant(this.issuing.notAfter)}`;
    return endsSoon(this.issuing, this.#parts.clock.wall()) ? `${until}: time for the next one` : until;
  }

  get held(): readonly Authority[] {
    return this.#held;
  }

  /** Whatever stands or stood on a list of keys, by id. */
  get listings(): ReadonlyMap<string, Listing> {
    return this.#listings;
  }

  /** The version of the newest list of keys; 0 before the first. */
  get listVersion(): number {
    return this.#listVersion;
  }

  /** Whose servers devices believe: DER. */
  get listed(): Uint8Array[] {
    return [...this.#listings.values()].flatMap(({ der, isListed }) =>
      isListed ? [Buffer.from(der, 'base64url')] : [],
    );
  }

  /** @param listener told when another one issues, is accepted or is listed */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Reads what the lists and the operator say now. A failure leaves everything as it is. */
  async refresh(): Promise<void> {
    await this.#try(async () => {
      const { listings, listVersion, chosen } = await stateIn(this.#parts.sql);
      const standing = standingOf(this.#held, listings, chosen);
      if (chosen !== null && chosen !== standing.issuing.id)
        this.#complain('ca_key_missing', 'The authority that was chosen to issue is not here: another one does');
      const before = this.#signature();
      this.#listings = listings;
      this.#listVersion = listVersion;
      this.#standing = standing;
      if (this.#signature() !== before) for (const listener of this.#listeners) listener();
    });
  }

  /**
   * Looks for authorities that are put beside or taken away, as long as the service runs.
   * @param found told when others are held than before
   */
  async run(signal: AbortSignal, found: () => Promise<void>): Promise<void> {
    while (!signal.aborted) {
      await this.#parts.clock.sleep(LOOK_EVERY_MS, signal);
      if (!signal.aborted) await this.#try(() => this.#look(found));
    }
  }

  async #look(found: () => Promise<void>): Promise<void> {
    const all = await this.#parts.load();
    this.#tellEnds(all);
    const now = this.#parts.clock.wall();
    const held = livingOf(all, now);
    const idsOf = (authorities: readonly Authority[]): string => authorities.map(({ id }) => id).join();
    if (idsOf(held) === idsOf(this.#held)) return;
    // One that issues is not let go of because its file is, only because it has ended.
    const isHere = held.some(({ id }) => id === this.issuing.id);
    this.#held = isHere || !isAlive(this.issuing, now) ? held : [this.issuing, ...held];
    await this.refresh();
    await found();
  }

  /** Of each authority once that it has ended, and of the one that issues that it will soon. */
  #tellEnds(all: readonly Authority[]): void {
    const { clock, log, metrics } = this.#parts;
    const now = clock.wall();
    const tell = (code: 'ca_expired' | 'ca_ends_soon', { id, notAfter }: Authority, message: string): void => {
      if (this.#told.has(`${code} ${id}`)) return;
      this.#told.add(`${code} ${id}`);
      log.warn({ code, authority: id.slice(0, SHOWN_DIGITS), notAfter: toInstant(notAfter) }, message);
    };
    for (const one of all) if (!isAlive(one, now)) tell('ca_expired', one, 'An authority has expired: it is left out');
    if (endsSoon(this.issuing, now))
      tell('ca_ends_soon', this.issuing, 'The authority that issues will expire: make the next one, `paddock ca new`');
    metrics.gauge('paddock_authority_not_after_seconds', this.issuing.notAfter / 1000);
  }

  async #try(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? String(error.code) : 'failed';
      this.#complain(code, 'Authorities cannot be read; going on with those that were there', error);
    }
  }

  /** Each complaint once, until another one comes. */
  #complain(code: string, message: string, err?: unknown): void {
    if (this.#complaint === code) return;
    this.#complaint = code;
    this.#parts.log.error({ code, ...(err !== undefined && { err }) }, message);
  }

  #signature(): string {
    const listed = [...this.#listings].flatMap(([id, { isListed }]) => (isListed ? [id] : []));
    return JSON.stringify([this.accepted.map(({ id }) => id), listed]);
  }
}

interface State {
  readonly listings: ReadonlyMap<string, Listing>;
  readonly listVersion: number;
  readonly chosen: string | null;
}

async function stateIn(sql: Sql): Promise<State> {
  const lists = await sql.query<{ version: number; added_at: Date; authorities: string[] }>(
    `SELECT version, added_at, list -> 'authorities' AS authorities FROM key_lists ORDER BY version`,
  );
  const [chosen] = await sql.query<{ fingerprint: string }>(
    'SELECT fingerprint FROM authority_uses ORDER BY use_id DESC LIMIT 1',
  );
  const read = lists.map(({ version, added_at, authorities }) => ({
    version,
    addedAt: wallMs(added_at.getTime()),
    authorities,
  }));
  const listVersion = lists.at(-1)?.version ?? 0;
  return { listings: listingsOf(read), listVersion, chosen: chosen?.fingerprint ?? null };
}
