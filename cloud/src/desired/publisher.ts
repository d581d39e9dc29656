import type { Desired, ReportedDesired } from '@paddock/shared/desired.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { Broker, Clock, Log, Metrics, Store } from '../ports.ts';
import { claim, claimRetired, type Claim } from './claim.ts';
import { Patience } from './patience.ts';
import { writeReported } from './reported.ts';
import { isBehind, isSameReport, reportedOf, Standings } from './standing.ts';

/** How long news are gathered, so that one statement serves all of them. */
const GATHER_MS = 50;
/** What was missed for whatever reason, and what is about to expire. */
const SWEEP_MS = 600_000;
const RETRY_MS = 5_000;
const PAGE = 200;
/** Messages on their way to the broker at once. */
const AT_ONCE = 16;

export interface DesiredParts {
  readonly store: Store;
  readonly broker: Pick<Broker, 'publish'>;
  readonly signing: Signing;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Ids of the keys that the newest list of keys names. */
  readonly believedKeys: () => Promise<readonly string[]>;
  /** Of this database: it changes only while the service does not run. */
  readonly epoch: number;
}

/** What has come up since the last turn. */
interface News {
  /** Set, or of another incarnation, or retired. */
  readonly changed: Set<string>;
  /** Lacks what is published, as its report shows. */
  readonly missing: Set<string>;
  readonly reported: Map<string, ReportedDesired | null>;
  /** Nothing is known of what these hold. */
  readonly unknown: Set<string>;
}

const noNews = (): News => ({ changed: new Set(), missing: new Set(), reported: new Map(), unknown: new Set() });

/**
 * Publishes what devices shall be: on every change, through whatever instance it came; again when a report shows that
 * the device lacks it; and anew before it expires, or when devices do not believe the key any more that signed it. A broker that forgets what it retained costs nothing else: only
 * devices that lack something are sent something, and their first report of a connection says whether they do.
 */
export class DesiredPublisher {
  readonly #parts: DesiredParts;
  readonly #standings: Standings;
  readonly #patience = new Patience();
  #news = noNews();
  #sweepAt = 0;
  #woken = new AbortController();
  #failing = false;

  constructor(parts: DesiredParts) {
    this.#parts = parts;
    this.#standings = new Standings(parts.store);
    this.#sweepAt = parts.clock.monotonic();
  }

  /** Knows and hears what is set. @returns a function that stops hearing */
  async open(): Promise<() => Promise<void>> {
    const { store } = this.#parts;
    const changed = (id: string): void => this.#wake(({ changed: ids }) => ids.add(id));
    const missed = (): void => {
      this.#sweepAt = this.#parts.clock.monotonic();
      this.#wake(() => undefined);
    };
    const stops = [await store.listen('paddock_desired', changed, missed)];
    // Retired, perhaps.
    stops.push(
      await store.listen('paddock_devices', (id) => void (this.#standings.of(id) !== null && changed(id)), missed),
    );
    await this.#standings.readAll();
    return async () => void (await Promise.all(stops.map((stop) => stop())));
  }

  /** The version that holds for a device; 0 when nothing was ever set. */
  versionOf(deviceId: string): number {
    return this.#standings.of(deviceId)?.version ?? 0;
  }

  /** Told of the newest report of a device. */
  reported(deviceId: string, desired: ReportedDesired | undefined): void {
    const { epoch, clock } = this.#parts;
    const standing = this.#standings.of(deviceId);
    const reported = reportedOf(desired);
    const isUnknown = standing === null && reported !== null && reported.epoch < epoch && reported.version > 0;
    if (standing === null && !isUnknown) return;
    const current = { epoch, version: standing?.version ?? 1 };
    const isMissing = isBehind(current, reported);
    if (!isMissing) this.#patience.forget(deviceId);
    const isDue = isMissing && this.#patience.mayTry(deviceId, current.version, clock.monotonic());
    const isNews = !isSameReport(standing?.reported ?? null, reported);
    if (!isDue && !isNews) return;
    this.#wake((news) => {
      if (isDue) news.missing.add(deviceId);
      if (isNews) news.reported.set(deviceId, reported);
      if (isUnknown) news.unknown.add(deviceId);
    });
  }

  /** Publishes until aborted. The broker is open. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#parts;
    while (!signal.aborted) {
      const waitMs = this.#sweepAt - clock.monotonic();
      if (waitMs > 0) await clock.sleep(waitMs, AbortSignal.any([signal, this.#woken.signal]));
      await clock.sleep(GATHER_MS, signal);
      if (signal.aborted) return;
      this.#woken = new AbortController();
      const news = this.#news;
      this.#news = noNews();
      await this.#turn(news, signal).catch((cause: unknown) => this.#failed(news, cause));
      if (this.#failing) await clock.sleep(RETRY_MS, signal);
    }
  }

  #wake(add: (news: News) => unknown): void {
    add(this.#news);
    this.#woken.abort();
  }

  /** What could not be done is done the next time. */
  #failed(news: News, cause: unknown): void {
    if (!this.#failing)
      this.#parts.log.warn({ err: cause }, 'Desired state could not be published; trying until it can');
    this.#failing = true;
    this.#wake((next) => {
      for (const id of news.changed) next.changed.add(id);
      for (const id of news.missing) next.missing.add(id);
      for (const id of news.unknown) next.unknown.add(id);
      // What was reported meanwhile is newer.
      for (const [id, reported] of news.reported) if (!next.reported.has(id)) next.reported.set(id, reported);
    });
  }

  async #turn({ changed, missing, reported, unknown }: News, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#parts;
    const isSweep = clock.monotonic() >= this.#sweepAt;
    if (reported.size > 0) await store.transaction((sql) => writeReported(sql, reported, [...unknown]));
    if (isSweep) await this.#standings.readAll();
    const ids = [...new Set([...changed, ...missing, ...reported.keys()])];
    if (!isSweep) await this.#standings.read(ids);
    await this.#clear(isSweep ? null : [...changed]);
    await this.#publish(isSweep ? null : ids, missing, signal);
    if (isSweep) this.#sweepAt = clock.monotonic() + SWEEP_MS;
    if (this.#failing) this.#parts.log.info({}, 'Desired state is published again');
    this.#failing = false;
  }

  async #publish(
    deviceIds: readonly string[] | null,
    missing: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<void> {
    const { store, clock, epoch, signing, believedKeys } = this.#parts;
    if (deviceIds?.length === 0) return;
    const { keyId } = signing;
    const believed = deviceIds === null ? await believedKeys() : null;
    let lacking = [...missing];
    for (let full = true; full && !signal.aborted;) {
      const request = { epoch, keyId, believed, now: clock.wall(), deviceIds, missing: lacking, limit: PAGE };
      const claims = await claim(store, request);
      full = claims.length === PAGE;
      const ids = new Set(claims.map(({ deviceId }) => deviceId));
      // Those that are claimed are not claimed again in the next page.
      lacking = lacking.filter((id) => !ids.has(id));
      await this.#send(claims);
    }
  }

  /** A message that is lost costs nothing but time: the next report shows that it is missing. */
  async #send(claims: readonly Claim[]): Promise<void> {
    const failures: unknown[] = [];
    const send = (one: Claim) => this.#sendOne(one).catch((cause: unknown) => failures.push(cause));
    for (let at = 0; at < claims.length; at += AT_ONCE) await Promise.all(claims.slice(at, at + AT_ONCE).map(send));
    const fields = { err: failures[0], devices: failures.length };
    if (failures.length > 0) this.#parts.log.warn(fields, 'Desired state could not be handed to the broker');
  }

  async #sendOne({ deviceId, ...claimed }: Claim): Promise<void> {
    const { broker, signing, epoch, metrics, log } = this.#parts;
    const desired: Desired = { v: PAYLOAD_VERSION, device: deviceId, epoch, ...claimed };
    await broker.publish(topicOf('desired', deviceId), await seal('desired', desired, signing), { retain: true });
    metrics.count('paddock_desired_published_total');
    log.debug({ deviceId, version: claimed.version }, 'Desired state was published');
  }

  /** An empty message takes away what is retained (MQTT 3.1.1, section 3.3.1.3). */
  async #clear(deviceIds: readonly string[] | null): Promise<void> {
    const { store, broker, log } = this.#parts;
    if (deviceIds?.length === 0) return;
    for (const deviceId of await claimRetired(store, deviceIds))
      await broker
        .publish(topicOf('desired', deviceId), '', { retain: true })
        .catch((cause: unknown) =>
          log.warn({ err: cause, deviceId }, 'Desired state of a retired device still stands'),
        );
  }
}
