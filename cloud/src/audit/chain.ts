import { createHash } from 'node:crypto';

/** A row of the audit log as the chain is made of it; hashes in hex. */
export interface ChainLink {
  readonly seq: number;
  readonly entry: string;
  readonly previous: string;
  readonly hash: string;
}

export const CHAIN_ERRORS = {
  audit_entry_missing: 'Entries of the audit log are missing',
  audit_entry_altered: 'An entry of the audit log is not what was written',
  audit_beginning_missing: 'The beginning of the audit log is gone, and no retention says that it took it',
  audit_head_differs: 'The audit log does not hold the entry that was noted elsewhere',
} as const satisfies Record<string, string>;

export class ChainError extends Error {
  override readonly name = 'ChainError';
  readonly code: keyof typeof CHAIN_ERRORS;
  constructor(code: ChainError['code'], detail: string) {
    super(`${CHAIN_ERRORS[code]}: ${detail}`);
    this.code = code;
  }
}

const NOTHING = '0'.repeat(64);

/** SHA-256 of: previous, seq as 8 bytes (big-endian), entry in UTF-8. */
export function linkHash({ seq, entry, previous }: Omit<ChainLink, 'hash'>): string {
  const number = Buffer.alloc(8);
  number.writeBigInt64BE(BigInt(seq));
  return createHash('sha256').update(previous, 'hex').update(number).update(entry).digest('hex');
}

/**
 * Goes along the chain, oldest link first. It shows that nothing between its ends was taken out, put in or altered. That
 * nothing is missing at its newer end only a hash can show that was noted elsewhere.
 */
export class ChainWalk {
  #first: ChainLink | null = null;
  #last: ChainLink | null = null;
  #count = 0;
  /** What retentions say that they took: the newest number and its hash. */
  readonly #forgotten = new Set<string>();

  /** @throws ChainError */
  take(link: ChainLink): void {
    const expected = this.#last === null ? link.seq : this.#last.seq + 1;
    if (link.seq !== expected) throw new ChainError('audit_entry_missing', `${link.seq} follows ${expected - 1}`);
    if (linkHash(link) !== link.hash) throw new ChainError('audit_entry_altered', String(link.seq));
    if (this.#last !== null && link.previous !== this.#last.hash)
      throw new ChainError('audit_entry_altered', `${this.#last.seq}, or the one behind it`);
    this.#first ??= link;
    this.#last = link;
    this.#count += 1;
    const forgotten = forgottenBy(link);
    if (forgotten !== null) this.#forgotten.add(forgotten);
  }

  /** @throws ChainError `audit_beginning_missing` */
  end(): { readonly entries: number; readonly first: number; readonly last: number; readonly hash: string } {
    const { seq = 1, previous = NOTHING } = this.#first ?? {};
    const isBeginning = seq === 1 && previous === NOTHING;
    if (!isBeginning && !this.#forgotten.has(`${seq - 1} ${previous}`))
      throw new ChainError('audit_beginning_missing', `it begins with ${seq}`);
    return { entries: this.#count, first: seq, last: this.#last?.seq ?? 0, hash: this.#last?.hash ?? NOTHING };
  }
}

function forgottenBy({ entry }: ChainLink): string | null {
  const { action, actor, detail } = JSON.parse(entry) as Record<string, unknown> & { detail?: Record<string, unknown> };
  if (action !== 'forgetAudit' || actor !== 'service') return null;
  return `${String(detail?.['last'])} ${String(detail?.['hash'])}`;
}
