/**
 * How many reports a second the cloud takes in, from the broker's socket to fsynced rows and signed answers:
 * `npm run bench:ingest [-- --json] [--devices N] [--reports N] [--broker embedded|mosquitto|both]`. The load generator,
 * the broker and PostgreSQL run on the same machine and count as part of it. The yardstick is what one core verifies
 * with `openssl speed`, taken right before and right after each measurement, because machines have better moments and
 * worse ones.
 */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { freshDatabase } from '../harness/database.ts';
import { addDevices } from '../harness/device.ts';
import { startMosquitto, type Mosquitto } from '../harness/mosquitto.ts';
import type { Pipeline, ServiceReport } from './ingest-service.ts';
import { LoadConnection, reportPackets } from './load-connection.ts';
import { makeDevices, signReports, type LoadDevice } from './load.ts';
import { figuresOf, backendsMs } from './process-figures.ts';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    devices: { type: 'string', default: '200' },
    reports: { type: 'string', default: '40000' },
    broker: { type: 'string', default: 'both' },
  },
});

/** What a device's connection sends, one list a measurement. */
type Load = readonly { readonly device: LoadDevice; readonly packets: readonly Buffer[] }[];

interface Run {
  readonly reportsPerSecond: number;
  readonly p99CommitMs: number;
  readonly wireBytesPerReport: number;
  readonly rssBytes: number;
  readonly answers: number;
  /** Processor time in µs for each report, by who spent it: why the rate is what it is. */
  readonly processorMicros: Record<'service' | 'database' | 'load' | 'broker', number>;
}

async function opensslVerifyPerSecond(): Promise<number> {
  const { stdout } = await promisify(execFile)('openssl', ['speed', '-seconds', '3', 'ecdsap256']);
  const verify = /ecdsa \(nistp256\).*\s([\d.]+)\s*$/m.exec(stdout)?.[1];
  if (verify === undefined) throw new Error(`openssl speed printed no figure: ${stdout}`);
  return Number(verify);
}

/** A service of its own for one pipeline, and connections of all devices to its broker. */
class Bench {
  readonly #service: ChildProcess;
  readonly #connections: readonly LoadConnection[];
  readonly #database: string;
  readonly #mosquitto: Mosquitto | null;

  private constructor(service: ChildProcess, connections: LoadConnection[], on: [string, Mosquitto | null]) {
    this.#service = service;
    this.#connections = connections;
    [this.#database, this.#mosquitto] = on;
  }

  static async start(url: string, pipeline: Pipeline, devices: readonly LoadDevice[], mosquitto: Mosquitto | null) {
    const broker = mosquitto ? [mosquitto.cloudUrl] : [];
    const service = fork(new URL('ingest-service.ts', import.meta.url), [url, pipeline, ...broker]);
    const [{ port }] = (await once(service, 'message')) as [{ port: number }];
    const connections = await Promise.all(
      devices.map(({ deviceId }) => LoadConnection.open(mosquitto?.port ?? port, deviceId)),
    );
    return new Bench(service, connections, [new URL(url).pathname.slice(1), mosquitto]);
  }

  /** Sends all of it and checks that every report was recorded. */
  async measure(load: Load): Promise<Run> {
    const total = load.reduce((sum, { packets }) => sum + packets.length, 0);
    await this.#ask('begin');
    const [answersBefore, spentBefore] = [this.#answers(), await this.#spent()];
    const began = performance.now();
    await Promise.all(this.#connections.map((connection, n) => connection.publishAll(load[n]?.packets ?? [])));
    let report = await this.#ask('progress');
    for (; report.recorded + report.refused < total; report = await this.#ask('progress')) await sleep(20);
    const seconds = (performance.now() - began) / 1000;
    const spent = await this.#spent();
    report = await this.#ask('result');
    if (report.refused > 0) throw new Error(`${report.refused} of ${total} reports were refused`);
    const sorted = report.commitMs.toSorted((a, b) => a - b);
    const micros = (who: keyof typeof spent): number => Math.round(((spent[who] - spentBefore[who]) * 1000) / total);
    return {
      reportsPerSecond: total / seconds,
      p99CommitMs: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
      wireBytesPerReport: load.reduce((sum, { packets }) => sum + Buffer.concat(packets).length, 0) / total,
      rssBytes: report.rssBytes,
      answers: this.#answers() - answersBefore,
      processorMicros: {
        service: micros('service'),
        database: micros('database'),
        load: micros('load'),
        broker: micros('broker'),
      },
    };
  }

  async stop(): Promise<void> {
    this.#connections.forEach((connection) => connection.close());
    this.#service.send('stop');
    await once(this.#service, 'exit');
  }

  #answers(): number {
    return this.#connections.reduce((sum, connection) => sum + connection.answers, 0);
  }

  async #ask(question: 'begin' | 'progress' | 'result'): Promise<ServiceReport> {
    const answer = once(this.#service, 'message');
    this.#service.send(question);
    const [report] = (await answer) as [ServiceReport];
    return report;
  }

  async #spent() {
    const { user, system } = process.cpuUsage();
    return {
      service: (await figuresOf(this.#service.pid ?? 0)).processorMs,
      database: await backendsMs(this.#database),
      load: (user + system) / 1000,
      broker: this.#mosquitto ? (await figuresOf(this.#mosquitto.pid)).processorMs : 0,
    };
  }
}

const note = (text: string): void => void (flags.json || console.error(text));
const round = (ratio: number): number => Math.round(ratio * 1000) / 1000;

async function main(): Promise<void> {
  const database = await freshDatabase();
  const mosquitto = flags.broker === 'embedded' ? null : await startMosquitto();
  try {
    const devices = await makeDevices(Number(flags.devices));
    await addDevices(database.store, devices);
    const perDevice = Math.ceil(Number(flags.reports) / devices.length);
    const sign = async (start: number, count: number): Promise<Load> =>
      Promise.all(
        devices.map(async (device) => {
          const packets = reportPackets(device.deviceId, await signReports(device, count, start));
          return { device, packets };
        }),
      );
    note(`signing reports of ${devices.length} devices, ${perDevice} each for a measurement`);
    // A service that has run for a while is what is measured: its code is compiled, its caches are filled.
    const run = async (pipeline: Pipeline, through: Mosquitto | null, start: number, count: number): Promise<Run> => {
      const [warmUp, load] = [await sign(start, Math.ceil(count / 5)), await sign(start + 1, count)];
      const bench = await Bench.start(database.url, pipeline, devices, through);
      await bench.measure(warmUp);
      const measured = await bench.measure(load);
      await bench.stop();
      return measured;
    };
    const beside = async (measure: () => Promise<Run>): Promise<Run & { verifyPerSecond: number }> => {
      const before = await opensslVerifyPerSecond();
      const run = await measure();
      return { ...run, verifyPerSecond: (before + (await opensslVerifyPerSecond())) / 2 };
    };
    const figures: Record<string, number> = {};
    if (flags.broker !== 'mosquitto') {
      const sizeBefore = await archiveBytes();
      const batched = await beside(() => run('batched', null, 1, perDevice));
      const archived = (perDevice + Math.ceil(perDevice / 5)) * devices.length;
      figures['diskBytesPerReport'] = Math.round(((await archiveBytes()) - sizeBefore) / archived);
      Object.assign(figures, named('', batched));
      const naive = await run('naive', null, 3, Math.ceil(perDevice / 8));
      figures['naiveReportsPerSecond'] = Math.round(naive.reportsPerSecond);
      figures['naiveRatio'] = round(naive.reportsPerSecond / batched.verifyPerSecond);
    }
    if (mosquitto) {
      const through = await beside(() => run('batched', mosquitto, 5, perDevice));
      Object.assign(figures, named('mosquitto', through));
    }
    print(figures);
  } finally {
    await mosquitto?.stop();
    await database.drop();
  }

  async function archiveBytes(): Promise<number> {
    const [row] = await database.store.query<{ bytes: number }>(
      `SELECT sum(pg_total_relation_size(inhrelid))::bigint AS bytes FROM pg_inherits WHERE inhparent = 'reports'::regclass`,
    );
    return row?.bytes ?? 0;
  }
}

/** The figures of one measurement, each name led by what was measured. */
function named(prefix: string, run: Run & { verifyPerSecond: number }): Record<string, number> {
  const figures = {
    reportsPerSecond: Math.round(run.reportsPerSecond),
    opensslVerifyPerSecond: Math.round(run.verifyPerSecond),
    ratio: round(run.reportsPerSecond / run.verifyPerSecond),
    p99CommitMs: Math.round(run.p99CommitMs),
    wireBytesPerReport: Math.round(run.wireBytesPerReport),
    serviceRssBytes: run.rssBytes,
    answers: run.answers,
    serviceMicros: run.processorMicros.service,
    databaseMicros: run.processorMicros.database,
    loadMicros: run.processorMicros.load,
    ...(prefix !== '' && { brokerMicros: run.processorMicros.broker }),
  };
  const name = (figure: string): string => prefix && prefix + figure.charAt(0).toUpperCase() + figure.slice(1);
  return Object.fromEntries(Object.entries(figures).map(([figure, value]) => [name(figure) || figure, value]));
}

function print(figures: Record<string, number>): void {
  if (flags.json) console.log(JSON.stringify(figures));
  else console.table(Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, { value }])));
}

await main();
