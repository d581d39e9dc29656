/** The cloud's side of bench:ingest, in a process of its own: the embedded broker or a client of another, and ingest. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { EmbeddedBroker } from '@paddock/cloud/adapters/aedes.ts';
import { openPostgres } from '@paddock/cloud/adapters/postgres.ts';
import { loadOnlineKey } from '@paddock/cloud/adapters/data-dir.ts';
import { RemoteBroker } from '@paddock/cloud/adapters/mqtt.ts';
import { startOpener } from '@paddock/cloud/adapters/opener.ts';
import { systemClock } from '@paddock/cloud/adapters/system-clock.ts';
import { Answers, answerTo } from '@paddock/cloud/ingest/answer.ts';
import { authenticate } from '@paddock/cloud/ingest/authenticate.ts';
import { StoredKeyDirectory } from '@paddock/cloud/ingest/directory.ts';
import { Ingest } from '@paddock/cloud/ingest/pipeline.ts';
import { Rejections } from '@paddock/cloud/ingest/rejections.ts';
import type { Broker, Inbound, MetricName, Metrics } from '@paddock/cloud/ports.ts';
import { toInstant } from '@paddock/shared/time.ts';
import { CollectedAudit } from '../harness/audit.ts';
import { OPENER_PROGRAM } from '../harness/ingest.ts';

export type Pipeline = 'batched' | 'naive';
export interface ServiceReport {
  readonly recorded: number;
  readonly refused: number;
  readonly commitMs: readonly number[];
  readonly rssBytes: number;
}

const [url = '', pipeline = 'batched', brokerUrl] = process.argv.slice(2);
const counts = { recorded: 0, refused: 0 };
let commitMs: number[] = [];
const metrics: Metrics = {
  count: (name: MetricName, _labels, by = 1) => {
    if (name === 'paddock_reports_recorded_total') counts.recorded += by;
    if (name === 'paddock_reports_rejected_total') counts.refused += by;
  },
  gauge: () => undefined,
  observe: (_name, seconds) => void commitMs.push(seconds * 1000),
};
const clock = systemClock;
const log = pino({ level: 'warn' });
const store = openPostgres({ url });
const embedded = new EmbeddedBroker({ host: '127.0.0.1', port: 0, clock });
const broker: Broker = brokerUrl ? new RemoteBroker({ url: brokerUrl, shareGroup: 'paddock', clock }) : embedded;
const keys = new StoredKeyDirectory(store, clock);
// The service's own kind of key: one that signs another way costs another time.
const keyDir = await mkdtemp(join(tmpdir(), 'paddock-bench-'));
const { signing } = await loadOnlineKey(keyDir);
await rm(keyDir, { recursive: true });
const opener = startOpener({ program: OPENER_PROGRAM });
const answers = new Answers({
  broker,
  signing,
  clock,
  metrics,
  log,
  epoch: 7,
  keyList: () => 3,
  desiredVersion: () => 0,
});
const rejections = new Rejections({ sql: store, clock, metrics, log, audit: new CollectedAudit() });
const ingest = new Ingest({ store, keys, opener, answers, rejections, clock, metrics, log, errorAt: () => 100 });

const NAIVE_INSERT = `
  INSERT INTO reports (received_at, device_id, incarnation, start, sequence, boot_id, uptime_ms, segment, trigger,
    latest, basis, digest, envelope)
  VALUES ($1, $2, $3, $4, $5, $6, $7, 0, $8, $1, 'arrival', decode($9, 'base64'), $10)`;

/** What a first version would do: every message its own statement and its own commit. */
async function acceptNaively(inbound: Inbound): Promise<void> {
  const { verdict, message } = await authenticate(inbound, keys, opener);
  if (verdict === 'refused') return void (counts.refused += 1);
  const { report, receivedAt, deviceId, digest, envelope } = message;
  const identity = [deviceId, report.incarnation, report.start, report.sequence];
  const rest = [
    report.boot.id,
    report.uptimeMs,
    report.trigger.kind,
    `${digest.replaceAll('-', '+').replaceAll('_', '/')}=`,
  ];
  await store.query(NAIVE_INSERT, [toInstant(receivedAt), ...identity, ...rest, envelope]);
  counts.recorded += 1;
  commitMs.push(clock.wall() - receivedAt);
  if (report.ask === undefined) return;
  const start = { deviceId, incarnation: report.incarnation, start: report.start, ordinal: 1, bootId: report.boot.id };
  const gaps = { droppedRoutine: 0, droppedEvents: 0, settledBelow: 0, abandoned: 0 };
  const entry = {
    ...start,
    ...gaps,
    firstReceivedAt: new Date(),
    recorded: [[0, report.sequence]] as const,
    rejected: [],
  };
  await answers.send(answerTo({ message, verdict: { kind: 'new' } }, entry));
}

const reachable = Promise.withResolvers<void>();
await broker.open({
  message: pipeline === 'naive' ? acceptNaively : (inbound) => ingest.accept(inbound),
  foreign: () => undefined,
  oversized: () => undefined,
  refusedConnection: () => undefined,
  reachable: (is) => is && reachable.resolve(),
});
await reachable.promise;
process.on('message', (question: 'begin' | 'progress' | 'result' | 'stop') => {
  if (question === 'begin') {
    Object.assign(counts, { recorded: 0, refused: 0 });
    commitMs = [];
  }
  if (question === 'stop') return void stop();
  // Durations travel once: asked for again and again they would be the load.
  const durations = question === 'result' ? commitMs : [];
  process.send?.({ ...counts, commitMs: durations, rssBytes: process.memoryUsage.rss() } satisfies ServiceReport);
});
process.send?.({ port: embedded.port });

async function stop(): Promise<void> {
  await broker.close();
  await ingest.close();
  await rejections.close();
  await store.close();
  await opener.close();
  process.disconnect?.();
}
