import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import manifest from '../package.json' with { type: 'json' };
import { loadOnlineKey, openDataDir, type DataDir } from './adapters/data-dir.ts';
import { startEmbeddedPostgres, type DatabaseLog } from './adapters/embedded-postgres.ts';
import { inflater } from './adapters/inflate.ts';
import { openKernelClock } from './adapters/kernel-clock.ts';
import { createLog } from './adapters/log.ts';
import { readMigrations } from './adapters/migration-files.ts';
import { openPostgres } from './adapters/postgres.ts';
import { createPrometheus } from './adapters/prometheus.ts';
import { openSpool } from './adapters/spool-file.ts';
import { systemClock } from './adapters/system-clock.ts';
import { webhookPoster } from './adapters/webhook.ts';
import { AuditLog } from './audit/log.ts';
import { openAws } from './aws-iot.ts';
import { runInBackground, type Background, type Base, type Ground } from './base.ts';
import type { CloudConfig } from './settings.ts';
import { openEnrolment } from './enrolment-server.ts';
import { authenticateToken, registerOperatorToken } from './customers/tokens.ts';
import { createApp } from './http/app.ts';
import type { Probe } from './http/routes/service.ts';
import { createMember, type Member } from './instances/member.ts';
import { OwnClock } from './instances/own-clock.ts';
import { prepareBroker, takeIn } from './intake.ts';
import { runJobs } from './jobs.ts';
import { importWebhookSecret } from './monitoring/signature.ts';
import { createWatch } from './monitoring/watch.ts';
import { createCourier } from './monitoring/webhook.ts';
import { openFirmware } from './open-firmware.ts';
import { openTrust } from './open-trust.ts';
import type { Clock, Log, Metrics, Store } from './ports.ts';
import { named } from './taken-port.ts';
import { deviceUrlOf, mqttUrlsOf } from './urls.ts';
import { databaseNow } from './store/database-clock.ts';
import { migrate } from './store/migrate.ts';
import { keepPartitionsAtStart } from './store/partitions.ts';

export interface Service {
  /** Where people and devices reach it. */
  readonly urls: Readonly<Record<'http' | 'enrol', string> & Partial<Record<'mqtt' | 'mqtts', string>>>;
  /** Records what was taken in, answers it, and stops; everything that it started is stopped too. */
  close(): Promise<void>;
}

const WEBHOOK_TIMEOUT_MS = 10_000;
/** How long a part may take to say that it can do its work. */
const PROBE_TIMEOUT_MS = 3_000;

/**
 * The composition root of the cloud service: builds every part, and starts them in the order of the data's way backwards,
 * so that nothing arrives before it can be recorded.
 * @throws DataDirError, EmbeddedPostgresError, MigrationError, ServeError; nothing is left running then
 */
export async function serve(config: CloudConfig): Promise<Service> {
  await using started = new AsyncDisposableStack();
  const dataDir = await openDataDir(config.dataDir);
  const ground = await buildGround(config, dataDir, started);
  const { store, metrics } = ground;
  await prepareDatabase(ground, dataDir);
  const { believed, keepKeyList, watch: watchTrust, ...trust } = await openTrust(ground, dataDir.path);
  const base: Base = { ...ground, ...trust };
  const background = runInBackground(started);
  await watchTrust(background, started);
  const member = createMember({ ...base, configuredErrorMs: config.clockErrorMs });
  background((signal) => member.run(signal));
  const watch = createWatch({ ...base, listenerId: base.identity.instanceId, now: databaseNow });
  background((signal) => watch.run(signal));
  const { firmware, files } = await openFirmware(base, dataDir.path, keepKeyList, background, started);
  runJobs(base, watch, firmware, background);
  await deliverWebhooks(base, background);
  const prepared = await prepareBroker(base, background);
  let reachable = false;
  const enrolment = await named(
    ['enrolPort'],
    openEnrolment(
      base,
      () => deviceUrlOf(config, prepared.broker),
      await openAws(base, background, started),
      files,
      started,
    ),
  );
  const app = await createApp({
    ...base,
    trustedProxies: config.trustedProxies ?? [],
    authenticate: (token) => authenticateToken(store, token),
    inflater,
    cloudErrorMs: member.errors.now,
    believed,
    openSpool: () => openSpool(dataDir.path),
    firmware,
    authorities: base.authorities,
    claimTerms: enrolment.claimTerms,
    cloudKeys: () => ({ keys: [base.onlineKey.publicJwk] }),
    exposition: metrics,
    probes: probesOf(base, member, () => reachable),
  });
  started.defer(() => app.close());
  const http = await named(['httpPort'], app.listen({ host: config.httpHost, port: config.httpPort }));
  const heard = (is: boolean): void => watch.reachable((reachable = is));
  await named(
    ['mqttPort', 'mqttTlsPort'],
    takeIn(base, prepared, { reachable: heard, errorAt: member.errors.at }, started),
    config,
  );
  const running = started.move();
  return {
    urls: { http, enrol: enrolment.url, ...mqttUrlsOf(config, prepared.broker) },
    close: () => running.disposeAsync(),
  };
}

async function buildGround(config: CloudConfig, dataDir: DataDir, started: AsyncDisposableStack): Promise<Ground> {
  const log: Log = createLog(config.logLevel);
  const clock = systemClock;
  const metrics = createPrometheus();
  const store = await openStore(config, dataDir, log, started);
  const audit = new AuditLog({ sql: store, clock, log });
  started.defer(() => audit.close());
  return {
    audit,
    config,
    clock,
    ownClock: ownClockOf(config, clock, log, metrics),
    log,
    metrics,
    store,
    onlineKey: await loadOnlineKey(dataDir.path),
    identity: { instanceId: randomUUID(), host: hostname(), version: manifest.version },
  };
}

function ownClockOf(config: CloudConfig, clock: Clock, log: Log, metrics: Metrics): OwnClock {
  const onStep = (stepMs: number): void => {
    metrics.count('paddock_clock_steps_total');
    log.warn({ code: 'clock_stepped', stepMs: Math.round(stepMs) }, 'The clock of this machine was set');
  };
  const ownClock = new OwnClock({ clock, kernel: openKernelClock(), configuredMs: config.clockErrorMs, onStep });
  const fields = { source: ownClock.source, errorMs: ownClock.errorMs() };
  log.info(fields, "How wrong this machine's clock can be, and who says so");
  return ownClock;
}

/** A clock that contradicts others makes time uncertain; what is recorded is still worth recording. */
const probesOf = (base: Base, member: Member, reachable: () => boolean): Probe[] => [
  { name: 'database', check: () => answering(base) },
  {
    name: 'broker',
    check: async () => (reachable() ? { ready: true } : { ready: false, detail: 'not connected' }),
  },
  {
    name: 'clock',
    check: async () => ({ ready: true, detail: member.disagreement ?? clockDetail(base) }),
  },
  // What was issued before is still good, and reports are recorded: people are told, nobody is sent away.
  { name: 'authority', check: async () => ({ ready: true, detail: base.authorities.ending }) },
];

const clockDetail = ({ ownClock }: Base): string =>
  `right to ${Math.ceil(ownClock.errorMs())} ms, as ${ownClock.source === 'kernel' ? 'the kernel says' : 'configured'}`;

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

async function prepareDatabase({ store, config, log }: Ground, dataDir: DataDir): Promise<void> {
  const ran = await migrate(store, await readMigrations());
  if (ran.length > 0) log.info({ migrations: ran }, 'The database was migrated');
  await keepPartitionsAtStart(store, await databaseNow(store), { retentionDays: config.retentionDays }, (error) =>
    log.warn({ err: error }, 'Partitions of the archive could not be kept; trying again'),
  );
  await store.transaction((sql) => registerOperatorToken(sql, dataDir.operatorToken));
}

async function deliverWebhooks(base: Base, background: Background): Promise<void> {
  const { webhookUrl, webhookSecret } = base.config;
  if (webhookUrl === null || webhookSecret === null) return;
  const key = await importWebhookSecret(webhookSecret);
  const courier = createCourier({
    ...base,
    poster: webhookPoster(webhookUrl, WEBHOOK_TIMEOUT_MS),
    key,
    now: databaseNow,
  });
  background((signal) => courier.run(signal));
}
