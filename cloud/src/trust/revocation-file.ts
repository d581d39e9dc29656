import type { Clock, Log, Sql } from '../ports.ts';
import type { Authorities } from './authorities.ts';
import type { Authority } from './authority.ts';
import { readRevoked, type RevokedCertificate } from './revocation.ts';
import type { WallMs } from '@paddock/shared/time.ts';

/** Changes that come together are written together. */
const LOOK_EVERY_MS = 2_000;
/** A list says until when it is good: it is written anew long before that, whatever it holds. */
const WRITE_EVERY_MS = 12 * 3_600_000;

interface Parts {
  readonly sql: Sql;
  readonly authorities: Pick<Authorities, 'accepted'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Puts the list where a broker reads it, whole or not at all. */
  readonly write: (pem: string) => Promise<void>;
}

/** Keeps the list of revoked certificates for a broker beside the service, as long as the service runs. */
export class RevocationFile {
  readonly #parts: Parts;
  #isDue = true;
  #written: { readonly serials: string; readonly at: number } | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Something about a device changed, or may have. */
  changed(): void {
    this.#isDue = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#parts;
    let failing = false;
    while (!signal.aborted) {
      const failed = await this.#look().then(
        () => false,
        (error: unknown) => {
          if (!failing)
            log.error({ err: error }, 'The list of revoked certificates is not written; trying until it is');
          this.#isDue = true;
          return true;
        },
      );
      failing = failed;
      await clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  async #look(): Promise<void> {
    const { sql, authorities, clock, log, write } = this.#parts;
    const isOld = this.#written === null || clock.monotonic() - this.#written.at >= WRITE_EVERY_MS;
    if (!this.#isDue && !isOld) return;
    this.#isDue = false;
    const now = clock.wall();
    const revoked = await readRevoked(sql, now);
    const serials = [...authorities.accepted.map(({ id }) => id), ...revoked.map(({ serial }) => serial)].join();
    if (!isOld && serials === this.#written?.serials) return;
    await write(await listsOf(authorities.accepted, revoked, now));
    this.#written = { serials, at: clock.monotonic() };
    log.info(
      { revoked: revoked.length },
      'The list of revoked certificates was written: the broker has to read it anew',
    );
  }
}

/** One list of each authority (RFC 5280, section 5), one after the other: without its list a broker takes none of its certificates. */
async function listsOf(
  authorities: readonly Authority[],
  revoked: readonly RevokedCertificate[],
  now: WallMs,
): Promise<string> {
  const lists = authorities.map((one) => {
    const own = revoked.filter(({ authority }) => authority === null || authority === one.id);
    return one.revocationList(own, now);
  });
  return (await Promise.all(lists)).join('');
}
