import { pino } from 'pino';
import { startOpener } from '@paddock/cloud/adapters/opener.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { crashIntake } from '@paddock/cloud/crashes/intake.ts';
import { knownCrashes } from '@paddock/cloud/crashes/known.ts';
import { DesiredPublisher } from '@paddock/cloud/desired/publisher.ts';
import { Answers } from '@paddock/cloud/ingest/answer.ts';
import { StoredKeyDirectory } from '@paddock/cloud/ingest/directory.ts';
import { Ingest, type IngestLimits } from '@paddock/cloud/ingest/pipeline.ts';
import { inventoryIntake } from '@paddock/cloud/inventory/intake.ts';
import { KnownInventories } from '@paddock/cloud/inventory/known.ts';
import { Rejections } from '@paddock/cloud/ingest/rejections.ts';
import type { SideDeps } from '@paddock/cloud/ingest/side-intake.ts';
import type { Audit, Broker, Clock, ErrorAt, MetricName, Metrics, Store } from '@paddock/cloud/ports.ts';
import { RefusedConnections } from '@paddock/cloud/trust/refused-connections.ts';
import { CollectedAudit } from './audit.ts';
import { startBroker, type Meeting, type TestBroker } from './brokers.ts';
import { makeTestKey, type TestKey } from './signing.ts';

/** Counts what the service says of itself, by name and code. */
export class CountedMetrics implements Metrics {
  readonly counts = new Map<string, number>();
  count(name: MetricName, labels?: Readonly<Record<string, string>>, by = 1): void {
    const key = labels ? `${name} ${Object.values(labels).join(' ')}` : name;
    this.counts.set(key, (this.counts.get(key) ?? 0) + by);
  }
  gauge(): void {}
  observe(): void {}
  of(name: MetricName, label?: string): number {
    return this.counts.get(label === undefined ? name : `${name} ${label}`) ?? 0;
  }
}

export const OPENER_PROGRAM = new URL('../../cloud/src/opener-thread.ts', import.meta.url);

/** The cloud's ingest on a real broker and a real database. */
export interface TestIngest extends Meeting {
  readonly cloudKey: TestKey;
  readonly metrics: CountedMetrics;
  readonly ingest: Ingest;
  readonly broker: Broker;
  /** What messages beside the reports are taken in with. */
  readonly side: SideDeps;
  close(): Promise<void>;
}

/** @param on the broker, which the test stops; by default an embedded one */
export async function startIngest(
  store: Store,
  options: {
    on?: Omit<TestBroker, 'stop'>;
    errorAt?: ErrorAt;
    limits?: Partial<IngestLimits>;
    cloudKey?: TestKey;
    audit?: Audit;
    /** Of the publisher of desired state, when it is not the system's. */
    clock?: Clock;
    epoch?: number;
    /** Ids of keys that devices believe; by default the cloud's. */
    believedKeys?: () => readonly string[];
  } = {},
): Promise<TestIngest> {
  const clock = systemClock;
  const log = pino({ level: 'silent' });
  const metrics = new CountedMetrics();
  const cloudKey = options.cloudKey ?? (await makeTestKey());
  const on = options.on ?? (await startBroker('the embedded broker'));
  const { broker, url } = await on.join();
  const audit = options.audit ?? new CollectedAudit();
  const rejections = new Rejections({ sql: store, clock, metrics, log, audit });
  const refusals = new RefusedConnections({ metrics, audit, log }, 'broker');
  const keys = new StoredKeyDirectory(store, clock);
  const stopListening = await store.listen('paddock_devices', (id) => keys.forget(id));
  const opener = startOpener({ program: OPENER_PROGRAM, threads: 1 });
  const known = new KnownInventories(store);
  const errorAt = options.errorAt ?? (() => 100);
  const sideDeps = { store, keys, opener, rejections, clock, metrics, log, errorAt };
  const sides = [inventoryIntake({ ...sideDeps, known }), crashIntake(sideDeps)];
  const sending = { broker, signing: cloudKey.signing, clock, metrics, log, epoch: options.epoch ?? 7 };
  const desired = new DesiredPublisher({
    store,
    ...sending,
    clock: options.clock ?? clock,
    believedKeys: async () => options.believedKeys?.() ?? [cloudKey.signing.keyId],
  });
  const stopHearing = await desired.open();
  const desiredVersion = (id: string): number => desired.versionOf(id);
  const answers = new Answers({ ...sending, keyList: () => 3, desiredVersion });
  const ingest = new Ingest({
    store,
    keys,
    opener,
    answers,
    rejections,
    clock,
    metrics,
    log,
    errorAt,
    wantsInventory: (deviceId, digest) => known.wants(deviceId, digest),
    knownCrashes: (deviceId, ids) => knownCrashes(store, deviceId, ids),
    desiredReported: (deviceId, reported) => desired.reported(deviceId, reported),
    ...(options.limits && { limits: options.limits }),
  });
  const reachable = Promise.withResolvers<void>();
  await broker.open({
    message: (inbound) => (sides.find((side) => side.takes(inbound)) ?? ingest).accept(inbound),
    foreign: (...refusal) => {
      metrics.count('paddock_reports_rejected_total', { code: 'topic_foreign' });
      refusals.foreign(...refusal);
    },
    oversized: (client) => {
      metrics.count('paddock_reports_rejected_total', { code: 'envelope_too_large' });
      refusals.oversized(client);
    },
    refusedConnection: (...refusal) => refusals.refused(...refusal),
    reachable: (is) => is && reachable.resolve(),
  });
  await reachable.promise;
  const stopping = new AbortController();
  const publishing = desired.run(stopping.signal);
  const close = async (): Promise<void> => {
    stopping.abort();
    await publishing;
    await stopHearing();
    await broker.close();
    await ingest.close();
    await Promise.all(sides.map((side) => side.close()));
    await rejections.close();
    await stopListening();
    await opener.close();
  };
  const meeting: Meeting = { url: url(), credentials: (deviceId) => on.credentials(deviceId) };
  return { ...meeting, cloudKey, metrics, ingest, broker, side: sideDeps, close };
}
