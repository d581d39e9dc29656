/**
 * What happens when a whole fleet comes back at once: `npm run bench:burst [-- --json] [--devices N] [--reports N]
 * [--live N] [--broker embedded|mosquitto]`. Every device has a key and a connection of its own and 20 reports that
 * waited; all connect at the same moment and behave as docs/protocol.md says, while events go on all over the fleet.
 * The devices run in processes of their own on the same machine. A connection takes a file descriptor on both sides:
 * the limit (`ulimit -n`) has to be above the number of devices.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startCloudProcess, type CloudProcess } from '../harness/cloud-process.ts';
import { freshDatabase, type FreshDatabase } from '../harness/database.ts';
import { addDevices } from '../harness/device.ts';
import { startMosquitto } from '../harness/mosquitto.ts';
import type { Order, Prepared, Progress } from './burst-client.ts';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    devices: { type: 'string', default: '10000' },
    /** Reports that waited, of each device. */
    reports: { type: 'string', default: '20' },
    /** Events a second in the whole fleet, in the burst and in the quiet time after it. */
    live: { type: 'string', default: '20' },
    broker: { type: 'string', default: 'both' },
  },
});
const DEVICES = Number(flags.devices);
const BACKLOG = Number(flags.reports);
const CLIENTS = 2;
/** Events that each device may tell; all are sealed before. */
const LIVES = 2;
const QUIET_MS = 20_000;
const GIVE_UP_AFTER_MS = 15 * 60_000;
const LOOK_EVERY_MS = 200;

const note = (text: string): void => void (flags.json || console.error(text));

/** The processes that run the devices. */
class Clients {
  readonly #processes: readonly ChildProcess[];

  constructor() {
    const program = new URL('burst-client.ts', import.meta.url);
    this.#processes = Array.from({ length: CLIENTS }, () => fork(program));
  }

  async prepare(): Promise<Prepared['devices']> {
    const each = Math.ceil(DEVICES / CLIENTS);
    const parts = await this.#ask<Prepared>((n) => {
      const from = n * each;
      return { kind: 'prepare', from, devices: Math.min(each, DEVICES - from), backlog: BACKLOG, lives: LIVES };
    });
    return parts.flatMap(({ devices }) => devices);
  }

  async tell(order: Exclude<Order, { kind: 'prepare' }>): Promise<Progress> {
    const parts = await this.#ask<Progress>(() => order);
    const sum = (of: (part: Progress) => number): number => parts.reduce((total, part) => total + of(part), 0);
    return {
      connections: sum((part) => part.connections),
      refused: sum((part) => part.refused),
      broken: sum((part) => part.broken),
      sends: sum((part) => part.sends),
      answers: sum((part) => part.answers),
      open: sum((part) => part.open),
      caughtUp: sum((part) => part.caughtUp),
      done: sum((part) => part.done),
      events: sum((part) => part.events),
      liveMs: parts.flatMap(({ liveMs }) => liveMs),
      openedMs: parts.flatMap(({ openedMs }) => openedMs),
      paces: parts.flatMap(({ paces }) => paces),
      latestTickMs: Math.max(...parts.map(({ latestTickMs }) => latestTickMs)),
    };
  }

  close(): void {
    for (const child of this.#processes) child.kill();
  }

  #ask<T>(orderOf: (n: number) => Order): Promise<T[]> {
    return Promise.all(
      this.#processes.map(async (child, n) => {
        const answer = once(child, 'message');
        child.send(orderOf(n));
        const [message] = (await answer) as [T];
        return message;
      }),
    );
  }
}

async function until(clients: Clients, what: string, isSo: (progress: Progress) => boolean): Promise<Progress> {
  const giveUpAt = performance.now() + GIVE_UP_AFTER_MS;
  for (let told = 0; ; told += 1) {
    const progress = await clients.tell({ kind: 'progress' });
    if (isSo(progress)) return progress;
    const { open, caughtUp, refused, broken, sends } = progress;
    if (told % 25 === 0)
      note(`  ${what}: ${open} open, ${caughtUp} caught up, ${sends} sends, ${refused} refused, ${broken} broken`);
    if (performance.now() > giveUpAt) throw new Error(`Gave up waiting: ${what}`);
    await sleep(LOOK_EVERY_MS);
  }
}

/** Rows of the archive, and the reports that they are of. */
async function recordedIn({ store }: FreshDatabase): Promise<{ rows: number; reports: number }> {
  const [row] = await store.query<{ rows: number; reports: number }>(
    'SELECT count(*)::int8 AS rows, count(DISTINCT (device_id, incarnation, start, sequence))::int8 AS reports FROM reports',
  );
  return { rows: row?.rows ?? 0, reports: row?.reports ?? 0 };
}

/** proc_pid_status(5): the most that was resident. */
async function peakBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

async function dropped(cloud: CloudProcess): Promise<number> {
  const text = await (await fetch(`${cloud.httpUrl}/metrics`)).text();
  return Number(/^paddock_reports_dropped_total (\d+)/m.exec(text)?.[1] ?? 0);
}

function share(values: readonly number[], of: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return Math.round(sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * of))] ?? 0);
}

async function burst(clients: Clients, database: FreshDatabase, port: number, cloud: CloudProcess) {
  const livePerSecond = Number(flags.live) / CLIENTS;
  const began = performance.now();
  await clients.tell({ kind: 'begin', port, livePerSecond });
  await until(clients, 'opening', ({ open }) => open === DEVICES);
  const openSeconds = (performance.now() - began) / 1000;
  await until(clients, 'draining', ({ caughtUp }) => caughtUp === DEVICES);
  const drainSeconds = (performance.now() - began) / 1000;
  const busy = await clients.tell({ kind: 'result' });
  const rssPeakBytes = await peakBytes(cloud.pid);
  const droppedReports = await dropped(cloud);
  await clients.tell({ kind: 'recount' });
  note('  quiet');
  await sleep(QUIET_MS);
  const quiet = await clients.tell({ kind: 'result' });
  await clients.tell({ kind: 'hush' });
  const { events } = await until(clients, 'ending', ({ done }) => done === DEVICES);
  await clients.tell({ kind: 'end' });
  const { rows, reports } = await recordedIn(database);
  const paces = busy.paces.map(([pace]) => pace);
  return {
    waitingReports: DEVICES * BACKLOG,
    drainSeconds: Math.round(drainSeconds * 10) / 10,
    reportsPerSecond: Math.round((DEVICES * (BACKLOG + 2) + busy.liveMs.length) / drainSeconds),
    lostReports: DEVICES * (BACKLOG + 2) + events - reports,
    repeatedReports: rows - reports,
    sends: busy.sends,
    openSeconds: Math.round(openSeconds * 10) / 10,
    openedP50Ms: share(busy.openedMs, 0.5),
    openedP99Ms: share(busy.openedMs, 0.99),
    liveReports: busy.liveMs.length,
    liveP50Ms: share(busy.liveMs, 0.5),
    liveP99Ms: share(busy.liveMs, 0.99),
    quietLiveReports: quiet.liveMs.length,
    quietP50Ms: share(quiet.liveMs, 0.5),
    quietP99Ms: share(quiet.liveMs, 0.99),
    connectionsRefused: busy.refused,
    connectionsBroken: busy.broken,
    droppedReports,
    serviceRssPeakMiB: Math.round(rssPeakBytes / 1_048_576),
    slowestPacePerSecond: Math.min(...paces),
    fastestPacePerSecond: Math.max(...paces),
    clientsLateMs: Math.round(busy.latestTickMs),
  };
}

async function run(clients: Clients, devices: Prepared['devices'], broker: 'embedded' | 'mosquitto') {
  const database = await freshDatabase();
  const mosquitto = broker === 'mosquitto' ? await startMosquitto() : null;
  await addDevices(database.store, devices);
  const cloud = await startCloudProcess({
    DATABASE_URL: database.url,
    PADDOCK_LOG_LEVEL: 'warn',
    ...(mosquitto && { PADDOCK_BROKER_URL: mosquitto.url }),
  });
  const died = cloud.ended.then((output) => Promise.reject(new Error(`The cloud ended by itself:\n${output}`)));
  try {
    return await Promise.race([
      burst(clients, database, mosquitto?.port ?? Number(new URL(cloud.mqttUrl).port), cloud),
      died,
    ]);
  } finally {
    died.catch(() => undefined);
    await cloud.stop();
    await mosquitto?.stop();
    await database.drop();
  }
}

async function main(): Promise<void> {
  const brokers = (['embedded', 'mosquitto'] as const).filter((broker) => ['both', broker].includes(flags.broker));
  const clients = new Clients();
  try {
    note(`sealing ${DEVICES * (BACKLOG + 2 + LIVES)} reports of ${DEVICES} devices`);
    const devices = await clients.prepare();
    const figures: Record<string, Awaited<ReturnType<typeof run>>> = {};
    for (const broker of brokers) {
      note(`burst through ${broker}`);
      figures[broker] = await run(clients, devices, broker);
    }
    if (flags.json) console.log(JSON.stringify(figures));
    else console.table(figures);
  } finally {
    clients.close();
  }
}

await main();
