/**
 * How many reports a second the cloud takes in, from the broker's socket to fsynced rows and signed answers:
 * `npm run bench:ingest [-- --json] [--devices N] [--reports N]`. The load generator runs on the same machine and
 * counts as part of it. The yardstick is what one core verifies with `openssl speed`, taken in the same run.
 */
import { execFile, fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { freshDatabase } from '../harness/database.ts';
import { addDevices } from '../harness/device.ts';
import type { Pipeline, ServiceReport } from './ingest-service.ts';
import { LoadConnection, makeDevices, signReports, type LoadDevice } from './load.ts';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    devices: { type: 'string', default: '200' },
    reports: { type: 'string', default: '40000' },
  },
});

interface Run {
  readonly reportsPerSecond: number;
  readonly p99CommitMs: number;
  readonly wireBytesPerReport: number;
  readonly rssBytes: number;
  readonly answers: number;
}

async function opensslVerifyPerSecond(): Promise<number> {
  const { stdout } = await promisify(execFile)('openssl', ['speed', '-seconds', '3', 'ecdsap256']);
  const verify = /ecdsa \(nistp256\).*\s([\d.]+)\s*$/m.exec(stdout)?.[1];
  if (verify === undefined) throw new Error(`openssl speed printed no figure: ${stdout}`);
  return Number(verify);
}

async function ask(service: ChildProcess, question: 'progress' | 'result'): Promise<ServiceReport> {
  const answer = once(service, 'message');
  service.send(question);
  const [report] = (await answer) as [ServiceReport];
  return report;
}

/** Runs one pipeline over reports that were signed before, and checks that every one was recorded. */
async function measure(
  url: string,
  pipeline: Pipeline,
  load: readonly { device: LoadDevice; envelopes: string[] }[],
): Promise<Run> {
  const service = fork(new URL('ingest-service.ts', import.meta.url), [url, pipeline]);
  const [{ port }] = (await once(service, 'message')) as [{ port: number }];
  const connections = await Promise.all(load.map(({ device }) => LoadConnection.open(port, device.deviceId)));
  const total = load.reduce((sum, { envelopes }) => sum + envelopes.length, 0);
  const began = performance.now();
  await Promise.all(connections.map((connection, n) => connection.publishAll(load[n]?.envelopes ?? [])));
  let report = await ask(service, 'progress');
  for (; report.recorded + report.refused < total; report = await ask(service, 'progress')) await sleep(20);
  const seconds = (performance.now() - began) / 1000;
  report = await ask(service, 'result');
  if (report.refused > 0) throw new Error(`${report.refused} of ${total} reports were refused`);
  const sorted = report.commitMs.toSorted((a, b) => a - b);
  const wireBytes = connections.reduce((sum, connection) => sum + connection.wireBytes, 0);
  connections.forEach((connection) => connection.close());
  service.send('stop');
  await once(service, 'exit');
  return {
    reportsPerSecond: total / seconds,
    p99CommitMs: sorted[Math.floor(sorted.length * 0.99)] ?? 0,
    wireBytesPerReport: wireBytes / total,
    rssBytes: report.rssBytes,
    answers: connections.reduce((sum, connection) => sum + connection.answers, 0),
  };
}

const note = (text: string): void => void (flags.json || console.error(text));

async function main(): Promise<void> {
  const database = await freshDatabase();
  try {
    const devices = await makeDevices(Number(flags.devices));
    await addDevices(database.store, devices);
    const perDevice = Math.ceil(Number(flags.reports) / devices.length);
    const sign = async (start: number, count: number) =>
      Promise.all(devices.map(async (device) => ({ device, envelopes: await signReports(device, count, start) })));
    note(`signing ${perDevice * devices.length} reports of ${devices.length} devices`);
    const [warmUp, load, few] = [await sign(1, 10), await sign(2, perDevice), await sign(3, Math.ceil(perDevice / 8))];
    const verify = await opensslVerifyPerSecond();
    await measure(database.url, 'batched', warmUp);
    const sizeBefore = await archiveBytes();
    const batched = await measure(database.url, 'batched', load);
    const diskBytes = (await archiveBytes()) - sizeBefore;
    const naive = await measure(database.url, 'naive', few);
    print({
      reportsPerSecond: Math.round(batched.reportsPerSecond),
      opensslVerifyPerSecond: Math.round(verify),
      ratio: round(batched.reportsPerSecond / verify),
      p99CommitMs: Math.round(batched.p99CommitMs),
      wireBytesPerReport: Math.round(batched.wireBytesPerReport),
      diskBytesPerReport: Math.round(diskBytes / (perDevice * devices.length)),
      serviceRssBytes: batched.rssBytes,
      answers: batched.answers,
      naiveReportsPerSecond: Math.round(naive.reportsPerSecond),
      naiveRatio: round(naive.reportsPerSecond / verify),
    });
  } finally {
    await database.drop();
  }

  async function archiveBytes(): Promise<number> {
    const [row] = await database.store.query<{ bytes: number }>(
      `SELECT sum(pg_total_relation_size(inhrelid))::bigint AS bytes FROM pg_inherits WHERE inhparent = 'reports'::regclass`,
    );
    return row?.bytes ?? 0;
  }
}

const round = (ratio: number): number => Math.round(ratio * 1000) / 1000;

function print(figures: Record<string, number>): void {
  if (flags.json) console.log(JSON.stringify(figures));
  else console.table(Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, { value }])));
}

await main();
