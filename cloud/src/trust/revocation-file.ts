import type { Clock, Log, Sql } from '../ports.ts';
import type { Authorities } from './authorities.ts';
import type { Authority } from './authority.ts';
import { readRevoked, type RevokedCertificate } from './revocation.ts';
import type { WallMs } from '@paddock/shared/time.ts';

/** Changes that come together are written together. */
const LOOK_EVERY_MS = 2_000;
/** A list says until when it is good: it is written anew long before that, whatever it holds. */
const WRITE_EVERY_MS = 12 * 3_600_000;
/** What was taken back before this service began was pushed by the one before, unless that was gone by then. */
const PUSHED_BEFORE_MS = 24 * 3_600_000;

/** A broker that has to be told that there is a new list. */
export interface ListReader {
  /** Makes it read the list anew. Rejects when it did not. */
  reload(): Promise<void>;
  /** It has read a list that is new to these devices: their connections are to be closed. */
  evict(deviceIds: readonly string[]): void;
}

interface Parts {
  readonly sql: Sql;
  readonly authorities: Pick<Authorities, 'accepted'>;
  readonly clock: Clock;
  readonly log: Log;
  /** Puts the list where a broker reads it, whole or not at all. */
  readonly write: (pem: string) => Promise<void>;
  /** Without it, somebody else tells the broker. */
  readonly reader?: ListReader;
}

/** Keeps the list of revoked certificates for a broker beside the service, as long as the service runs. */
export class RevocationFile {
  readonly #parts: Parts;
  #isDue = true;
  #written: { readonly serials: ReadonlySet<string>; readonly at: number } | null = null;
  /** Devices on the list that the broker has not read yet; null: there is none. */
  #unread: Set<string> | null = null;

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Something about a device changed, or may have. */
  changed(): void {
    this.#isDue = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    const writing = this.#untilItWorks(
      () => this.#look(),
      { code: 'revocation_list_not_written' },
      'The list of revoked certificates is not written; trying until it is',
    );
    const reading = this.#untilItWorks(
      () => this.#push(),
      { code: 'broker_reload_failed' },
      'The broker was not told of the new list of revoked certificates; trying until it is',
    );
    while (!signal.aborted) {
      await writing();
      await reading();
      await this.#parts.clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  /** A step that is made again with the next look when it fails; said is the first failure of a row. */
  #untilItWorks(step: () => Promise<void>, fields: { readonly code: string }, message: string): () => Promise<void> {
    let failing = false;
    return async () => {
      try {
        await step();
        failing = false;
      } catch (error) {
        if (!failing) this.#parts.log.error({ ...fields, err: error }, message);
        failing = true;
      }
    };
  }

  async #look(): Promise<void> {
    const { sql, authorities, clock, log, write } = this.#parts;
    const before = this.#written;
    const isOld = before === null || clock.monotonic() - before.at >= WRITE_EVERY_MS;
    if (!this.#isDue && !isOld) return;
    const now = clock.wall();
    this.#isDue = false;
    try {
      const revoked = await readRevoked(sql, now);
      const serials = new Set([...authorities.accepted.map(({ id }) => id), ...revoked.map(({ serial }) => serial)]);
      if (!isOld && isSame(before.serials, serials)) return;
      await write(await listsOf(authorities.accepted, revoked, now));
      this.#written = { serials, at: clock.monotonic() };
      const fresh = revoked.filter((one) =>
        before === null ? one.revokedAt > now - PUSHED_BEFORE_MS : !before.serials.has(one.serial),
      );
      this.#unread = new Set([...(this.#unread ?? []), ...fresh.map(({ deviceId }) => deviceId)]);
      log.info({ revoked: revoked.length }, 'The list of revoked certificates was written');
    } catch (error) {
      this.#isDue = true;
      throw error;
    }
  }

  async #push(): Promise<void> {
    const { reader, log } = this.#parts;
    const devices = this.#unread;
    if (devices === null || reader === undefined) return;
    await reader.reload();
    this.#unread = null;
    log.info({ devices: devices.size }, 'The broker was told to read the list of revoked certificates anew');
    reader.evict([...devices]);
  }
}

const isSame = (one: ReadonlySet<string>, other: ReadonlySet<string>): boolean =>
  one.size === other.size && [...one].every((element) => other.has(element));

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
