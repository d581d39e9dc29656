import type { WallMs } from '@paddock/shared/time.ts';
import { actAs, type Actor } from '../customers/scope.ts';
import type { Clock, Log, Metrics, Sql, Store } from '../ports.ts';
import type { Key, Metadata } from '../tuf/formats.ts';
import type { OnlineRole, Published } from '../tuf/online.ts';
import type { OnlineKeys } from '../tuf/root.ts';
import { RepositoryError } from '../tuf/repository-error.ts';
import type { Signer } from '../tuf/signatures.ts';
import type { TargetsChanges } from '../tuf/targets.ts';
import { expiringSoon, expiries } from './expiry.ts';
import { layOut } from './lay-out.ts';
import { allRoots, firmwareRoot, lockRepository, published } from './metadata-store.ts';
import {
  installRoots,
  publishTargets,
  renewOnline,
  type OfferedRoots,
  type OfferedTargets,
  type OnlineSigners,
} from './publish.ts';
import { forgetUnsigned, tidy, tidyFiles } from './tidy.ts';
import { takeIn, type UploadEvent, type UploadParts } from './upload.ts';

export interface FirmwareParts extends UploadParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The clock that all instances share. */
  readonly now: (sql: Sql) => Promise<WallMs>;
  /** Keys that the service holds. Read when they are needed: another instance on these files may have made some. */
  readonly keyring: { all(): Promise<OnlineSigners>; add(): Promise<OnlineSigners> };
  /** Devices are to be told where their trust begins. */
  readonly rootInstalled: () => Promise<void>;
}

/** What is published, and by whose online keys the next root is to be signed. */
export interface FirmwareState extends Published {
  readonly roots: readonly Metadata<'root'>[];
  readonly onlineKeys: OnlineKeys;
}

/** Files are looked at anew so often, should nobody have told that they are to be written. */
const LOOK_EVERY_MS = 600_000;
const RETRY_MS = 30_000;

/** The operator's repository of firmware: what is signed goes into the database, and from there into files. */
export class Firmware {
  readonly #parts: FirmwareParts;
  readonly #told = new Set<string>();
  #woken = new AbortController();
  #failing = false;
  #uploading = false;

  constructor(parts: FirmwareParts) {
    this.#parts = parts;
  }

  async state(): Promise<FirmwareState> {
    const { store, keyring } = this.#parts;
    return { ...(await published(store)), roots: await allRoots(store), onlineKeys: keysOf(await keyring.all()) };
  }

  /** New keys for snapshot and timestamp; they sign once a root names them. */
  async addOnlineKeys(): Promise<OnlineKeys> {
    return keysOf(await this.#parts.keyring.add());
  }

  /** @throws RepositoryError; then nothing is changed */
  async installRoots(actor: Actor, offered: OfferedRoots): Promise<Metadata<'root'>> {
    const { store, keyring, now } = this.#parts;
    const signers = await keyring.all();
    const root = await store.transaction(async (sql) => installRoots(sql, actor, offered, await now(sql), signers));
    await this.#write();
    await this.#parts.rootInstalled();
    return root;
  }

  /** @throws RepositoryError; then nothing is changed */
  async publish(actor: Actor, offered: OfferedTargets): Promise<TargetsChanges> {
    const { store, keyring, now, archives, files } = this.#parts;
    const signers = await keyring.all();
    const changes = await store.transaction(async (sql) =>
      publishTargets(sql, actor, offered, await now(sql), signers),
    );
    await this.#write();
    await tidy(store, archives, files);
    return changes;
  }

  /**
   * One at a time: it works the disk and both processors.
   * @throws RepositoryError, BundleError
   */
  async *upload(actor: Actor, content: AsyncIterable<Uint8Array>): AsyncGenerator<UploadEvent> {
    if (this.#uploading) throw new RepositoryError('uploads_too_many');
    this.#uploading = true;
    try {
      yield* takeIn(this.#parts, actor, content, () => this.#parts.clock.wall());
    } finally {
      this.#uploading = false;
    }
  }

  /** The job: makes anew what expires. @param store writes only while the lease is held */
  async renew(store: Store, now: WallMs): Promise<void> {
    await store.transaction(async (sql) => {
      await lockRepository(sql);
      await actAs(sql, 'service');
      const forgotten = await forgetUnsigned(sql, now);
      if (forgotten > 0) this.#parts.log.info({ bundles: forgotten }, 'Bundles that nobody signed are forgotten');
    });
    // Without a root nobody has to have keys, and none are made.
    if ((await firmwareRoot(store)) === undefined) return;
    const signers = await this.#parts.keyring.all();
    const made = await store.transaction((sql) => renewOnline(sql, now, signers));
    if (made.length > 0) this.#parts.log.info({ roles: made.join(' ') }, 'Metadata of firmware were signed anew');
  }

  /** Something of it changed, here or on another instance. */
  changed(): void {
    this.#woken.abort();
  }

  /** Keeps the files as the database has them, as long as the service runs. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#woken = new AbortController();
      const waitMs = await this.#write().then(
        () => LOOK_EVERY_MS,
        () => RETRY_MS,
      );
      await this.#parts.clock.sleep(waitMs, AbortSignal.any([signal, this.#woken.signal]));
    }
  }

  async #write(): Promise<void> {
    const { store, files, log } = this.#parts;
    try {
      await layOut(store, files);
      await this.#tellExpiry();
      await this.#tidy();
      this.#failing = false;
    } catch (error) {
      if (!this.#failing)
        log.error({ code: 'firmware_not_written', err: error }, 'The repository of firmware cannot be written');
      this.#failing = true;
      throw error;
    }
  }

  async #tidy(): Promise<void> {
    const { store, archives, files, now } = this.#parts;
    await store.transaction(async (sql) => {
      await lockRepository(sql);
      await tidyFiles(sql, archives, files, await now(sql));
    });
  }

  /** What people have to sign in time, once for each version. */
  async #tellExpiry(): Promise<void> {
    const { store, clock, log, metrics } = this.#parts;
    const state = await published(store);
    for (const [role, at] of expiries(state)) metrics.gauge('paddock_firmware_not_after_seconds', at / 1000, { role });
    for (const { role, version, expires } of expiringSoon(state, clock.wall())) {
      if (this.#told.has(`${role} ${version}`)) continue;
      this.#told.add(`${role} ${version}`);
      log.warn({ code: 'firmware_expires_soon', role, version, expires }, 'Metadata that people sign expire soon');
    }
  }
}

/** The newest of each: the others are on their way out. */
function keysOf(signers: OnlineSigners): OnlineKeys {
  const newest = (role: OnlineRole): Key => {
    const signer: Signer | undefined = signers[role].at(-1);
    if (signer === undefined) throw new Error(`There is no key of ${role}`);
    return signer.key;
  };
  return { snapshot: newest('snapshot'), timestamp: newest('timestamp') };
}
