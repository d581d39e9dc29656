import { randomUUID } from 'node:crypto';
import { EmbeddedBroker } from './adapters/aedes.ts';
import { loadOnlineKey, openDataDir, type DataDir, type OnlineKey } from './adapters/data-dir.ts';
import { startEmbeddedPostgres, type DatabaseLog } from './adapters/embedded-postgres.ts';
import { inflater } from './adapters/inflate.ts';
import { createLog } from './adapters/log.ts';
import { readMigrations } from './adapters/migration-files.ts';
import { RemoteBroker } from './adapters/mqtt.ts';
import { openPostgres } from './adapters/postgres.ts';
import { createPrometheus, type Prometheus } from './adapters/prometheus.ts';
import { systemClock } from './adapters/system-clock.ts';
import { webhookPoster } from './adapters/webhook.ts';
import type { CloudConfig, SettingName } from './config.ts';
import { SETTINGS } from './config.ts';
import { authenticateToken, registerOperatorToken } from './customers/tokens.ts';
import { createApp } from './http/app.ts';
import { Answers } from './ingest/answer.ts';
import { StoredKeyDirectory } from './ingest/directory.ts';
import { Ingest } from './ingest/pipeline.ts';
import { Rejections } from './ingest/rejections.ts';
import { Strangers } from './ingest/strangers.ts';
import { importWebhookSecret } from './monitoring/signature.ts';
import { createWatch, type Watch } from './monitoring/watch.ts';
import { createCourier } from './monitoring/webhook.ts';
import type { Broker, Clock, Log, Store } from './ports.ts';
import { migrate } from './store/migrate.ts';
import { keepPartitionsAtStart, runPartitions } from './store/partitions.ts';

export interface Service {
  /** Where people and devices reach it. */
  readonly urls: { readonly http: string; readonly mqtt: string };
  /** Records what was taken in, answers it, and stops; everything that it started is stopped too. */
  close(): Promise<void>;
}

export class ServeError extends Error {
  override readonly name = 'ServeError';
  readonly code = 'port_in_use';
}

const WEBHOOK_TIMEOUT_MS = 10_000;
/** How long a part may take to say that it can do its work. */
const PROBE_TIMEOUT_MS = 3_000;
const PARTITIONS_FAILED = 'Partitions of the archive could not be kept; trying again';

/** What every part is made of. */
interface Base {
  readonly config: CloudConfig;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Prometheus;
  readonly store: Store;
  readonly onlineKey: OnlineKey;
}

/**
 * The composition root of the cloud service: builds every part, and starts them in the order of the data's way backwards,
 * so that nothing arrives before it can be recorded.
 * @throws DataDirError, EmbeddedPostgresError, MigrationError, ServeError; nothing is left running then
 */
export async function serve(config: CloudConfig): Promise<Service> {
  await using started = new AsyncDisposableStack();
  const log: Log = createLog(config.logLevel);
  const clock = systemClock;
  const dataDir = await openDataDir(config.dataDir);
  const store = await openStore(config, dataDir, log, started);
  const base: Base = {
    config,
    clock,
    log,
    metrics: createPrometheus(),
    store,
    onlineKey: await loadOnlineKey(dataDir.path),
  };
  await prepareDatabase(base, dataDir);
  const background = runInBackground(started);
  background((signal) => keepArchive(base, signal));
  const watch = createWatch({ ...base, listenerId: randomUUID() });
  background((signal) => watch.run(signal));
  await deliverWebhooks(base, background);
  const broker = brokerOf(base);
  const reachable = { now: false };
  const app = await createApp({
    ...base,
    authenticate: (token) => authenticateToken(store, token),
    inflater,
    cloudErrorMs: config.clockErrorMs,
    cloudKeys: () => ({ keys: [base.onlineKey.publicJwk] }),
    exposition: base.metrics,
    probes: [
      { name: 'database', check: () => answering(base) },
      {
        name: 'broker',
        check: async () => (reachable.now ? { ready: true } : { ready: false, detail: 'not connected' }),
      },
    ],
  });
  started.defer(() => app.close());
  const http = await named('httpPort', app.listen({ host: config.httpHost, port: config.httpPort }));
  await takeIn(base, broker, watch, reachable, started);
  const mqtt =
    withoutCredentials(config.brokerUrl) ??
    `mqtt://${config.mqttHost}:${broker instanceof EmbeddedBroker ? broker.port : 0}`;
  const running = started.move();
  return { urls: { http, mqtt }, close: () => running.disposeAsync() };
}

/** What is printed and logged must not hold a password. */
function withoutCredentials(url: string | null): string | null {
  if (url === null) return null;
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

/** A database that hangs is as little ready as one that is away. */
async function answering({ store, clock }: Base): Promise<{ ready: boolean; detail?: string }> {
  const done = new AbortController();
  const late = clock.sleep(PROBE_TIMEOUT_MS, done.signal).then(() => ({ ready: false, detail: 'does not answer' }));
  const asked = store.query('SELECT 1').then(() => ({ ready: true }));
  return Promise.race([asked, late]).finally(() => done.abort());
}

async function openStore(
  config: CloudConfig,
  dataDir: DataDir,
  log: Log,
  started: AsyncDisposableStack,
): Promise<Store> {
  const databaseLog: DatabaseLog = (level, message) => log[level]({ part: 'database' }, message);
  let url = config.databaseUrl;
  if (url === null) {
    const embedded = await startEmbeddedPostgres({
      dataDir: dataDir.path,
      password: dataDir.databasePassword,
      log: databaseLog,
    });
    started.defer(() => embedded.stop());
    ({ url } = embedded);
  }
  const store = openPostgres({ url, log: (message, error) => log.warn({ err: error }, message) });
  started.defer(() => store.close());
  return store;
}

async function prepareDatabase({ store, clock, config, log }: Base, dataDir: DataDir): Promise<void> {
  const ran = await migrate(store, await readMigrations());
  if (ran.length > 0) log.info({ migrations: ran }, 'The database was migrated');
  await keepPartitionsAtStart(store, clock.wall(), { retentionDays: config.retentionDays }, (error) =>
    log.warn({ err: error }, PARTITIONS_FAILED),
  );
  await store.transaction((sql) => registerOperatorToken(sql, dataDir.operatorToken));
}

/** Loops that end when the service does. */
function runInBackground(started: AsyncDisposableStack): (loop: (signal: AbortSignal) => Promise<void>) => void {
  return (loop) => {
    const stopping = new AbortController();
    const running = loop(stopping.signal);
    started.defer(() => {
      stopping.abort();
      return running;
    });
  };
}

function keepArchive({ store, clock, config, log }: Base, signal: AbortSignal): Promise<void> {
  const on = {
    changed: ({ created, dropped }: { created: readonly string[]; dropped: readonly string[] }) => {
      if (created.length + dropped.length > 0) log.info({ created, dropped }, 'Partitions of the archive changed');
    },
    failed: (error: unknown) => log.warn({ err: error }, PARTITIONS_FAILED),
  };
  return runPartitions(store, clock, { retentionDays: config.retentionDays }, on, signal);
}

async function deliverWebhooks(
  base: Base,
  background: (loop: (signal: AbortSignal) => Promise<void>) => void,
): Promise<void> {
  const { webhookUrl, webhookSecret } = base.config;
  if (webhookUrl === null || webhookSecret === null) return;
  const key = await importWebhookSecret(webhookSecret);
  const courier = createCourier({ ...base, poster: webhookPoster(webhookUrl, WEBHOOK_TIMEOUT_MS), key });
  background((signal) => courier.run(signal));
}

const brokerOf = ({ config, clock, log }: Base): Broker =>
  config.brokerUrl === null
    ? new EmbeddedBroker({
        host: config.mqttHost,
        port: config.mqttPort,
        clock,
        log: (message, error) => log.warn({ err: error }, message),
      })
    : new RemoteBroker({ url: config.brokerUrl, shareGroup: config.shareGroup, clock });

async function takeIn(
  base: Base,
  broker: Broker,
  watch: Watch,
  reachable: { now: boolean },
  started: AsyncDisposableStack,
): Promise<void> {
  const { store, clock, metrics, log, config, onlineKey } = base;
  const rejections = new Rejections({ sql: store, clock, metrics, log });
  started.defer(() => rejections.close());
  const keys = new StoredKeyDirectory(store, clock);
  const unlisten = await store.listen(
    'paddock_devices',
    (id) => keys.forget(id),
    () => keys.forgetAll(),
  );
  started.defer(unlisten);
  const strangers = new Strangers({ clock, metrics, log });
  const answers = new Answers({ broker, signing: onlineKey.signing, clock, metrics, log });
  const ingest = new Ingest({
    store,
    keys,
    inflater,
    answers,
    rejections,
    clock,
    metrics,
    log,
    cloudErrorMs: config.clockErrorMs,
  });
  // Answers to what is being recorded still go out: the broker closes last.
  started.defer(() => broker.close());
  started.defer(() => ingest.close());
  let said: boolean | null = null;
  const open = broker.open({
    message: (inbound) => ingest.accept(inbound),
    foreign: (clientId, topic) => strangers.foreign(clientId, topic),
    oversized: (clientId) => strangers.oversized(clientId),
    reachable: (is) => {
      watch.reachable(is);
      reachable.now = is;
      // Heard again with every try to connect.
      if (is === said) return;
      said = is;
      log[is ? 'info' : 'warn']({}, is ? 'The broker is reachable' : 'The broker is not reachable');
    },
  });
  await named('mqttPort', open);
}

/** A port that is taken is told by the variable that changes it. */
async function named<T>(setting: SettingName, listening: Promise<T>): Promise<T> {
  try {
    return await listening;
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE')) throw cause;
    const { env, flag } = SETTINGS[setting];
    const port = 'port' in cause ? String(cause.port) : '';
    throw new ServeError(
      `Port ${port} is taken: end who listens there, or choose another one with ${env} or ${flag?.split(' ')[0]}`,
      { cause },
    );
  }
}
