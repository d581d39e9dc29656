/**
 * What the agent takes of a kiosk: `npm run bench:agent [-- --json] [--settle S] [--window S] [--quick]`. The real program reads
 * twenty sensors once a second from real pseudo-terminals and reports to a broker; measured are the agent of the Debian
 * package, unpacked, with the Node that it brings, and, for comparison, the sources as they stand, beside a Node of the
 * same run that does nothing. `--quick` makes the package quickly, and larger than it is released.
 */
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { TestBroker } from '../harness/agent/broker.ts';
import type { Received } from '../harness/agent/fake-cloud.ts';
import { KioskProcess } from '../harness/agent/kiosk-process.ts';
import { figuresOf, type ProcessFigures } from './process-figures.ts';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    settle: { type: 'string', default: '30' },
    window: { type: 'string', default: '40' },
    quick: { type: 'boolean', default: false },
  },
});
const AGENT = join(import.meta.dirname, '../../agent');
const STARTS = 5;
const EVENTS = 10;
/** What a busy charge point has of sessions and cards. */
const EVENTS_PER_DAY = 100;
const MS_PER_DAY = 86_400_000;

const run = promisify(execFile);
const note = (text: string): void => void (flags.json || console.error(text));
const seconds = (text: string): Promise<void> => sleep(Number(text) * 1000);

async function main(): Promise<void> {
  note('packaging');
  const packaged = await unpackedPackage();
  const broker = await TestBroker.start();
  const bundle = await KioskProcess.prepare(packaged.program, 'bench-bundle', broker);
  const source = await KioskProcess.prepare(join(AGENT, 'bin/paddock-agent.cjs'), 'bench-source', broker);
  const bare = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' });
  try {
    note(`starting each ${STARTS} times`);
    const starts = { bundle: await startOften(bundle), source: await startOften(source) };
    note(`settling for ${flags.settle} s, measuring for ${flags.window} s`);
    await seconds(flags.settle);
    const before = await figuresOf(bundle.pid);
    await seconds(flags.window);
    const after = await figuresOf(bundle.pid);
    const [sourceRun, bareRun] = [await figuresOf(source.pid), await figuresOf(bare.pid ?? 0)];
    const reports = routineReports(bundle.received);
    const eventBytes = await bytesPerEvent(bundle);
    print({
      rssBytes: after.rssBytes,
      bareNodeRssBytes: bareRun.rssBytes,
      rssRatio: round(after.rssBytes / bareRun.rssBytes),
      anonymousBytes: after.anonymousBytes,
      bareNodeAnonymousBytes: bareRun.anonymousBytes,
      startToFirstReportMs: Math.round(median(starts.bundle)),
      reportBytes: median(reports.map(({ envelope }) => envelope.length)),
      reportBytesMost: Math.max(...reports.map(({ envelope }) => envelope.length)),
      reportJsonBytes: median(reports.map(({ report }) => Buffer.byteLength(JSON.stringify(report)))),
      diskBytesPerDay: Math.round(perDay(before, after) + eventBytes * EVENTS_PER_DAY),
      diskBytesPerEvent: eventBytes,
      processorShare: share(before, after),
      packageBytes: packaged.bytes,
      installedBytes: packaged.installedBytes,
      sourceRssBytes: sourceRun.rssBytes,
      sourceRssRatio: round(sourceRun.rssBytes / bareRun.rssBytes),
      sourceStartToFirstReportMs: Math.round(median(starts.source)),
    });
  } finally {
    bare.kill('SIGKILL');
    await Promise.all([bundle.remove(), source.remove()]);
    await broker.stop();
    await rm(packaged.home, { recursive: true });
  }
}

interface Packaged {
  readonly home: string;
  readonly program: string;
  readonly bytes: number;
  readonly installedBytes: number;
}

/** The package for this machine, unpacked where it may be. */
async function unpackedPackage(): Promise<Packaged> {
  const home = await mkdtemp(join(tmpdir(), 'paddock-bench-package-'));
  const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  const script = join(AGENT, '../packaging/agent.ts');
  const args = [script, '--json', '--arch', arch, '--out', home, ...(flags.quick ? ['--quick'] : [])];
  const { stdout } = await run(process.execPath, args);
  const [built] = JSON.parse(stdout) as { file: string; bytes: number; installedBytes: number }[];
  if (built === undefined) throw new Error('no package was made');
  await run('dpkg-deb', ['--extract', built.file, home]);
  const program = join(home, 'usr/lib/paddock/paddock-agent.cjs');
  const text = await readFile(program, 'utf8');
  await writeFile(program, text.replace('/usr/lib/paddock', join(home, 'usr/lib/paddock')));
  return { ...built, home, program };
}

/** Leaves the last one running. */
async function startOften(kiosk: KioskProcess): Promise<number[]> {
  const times: number[] = [];
  for (let n = 0; n < STARTS; n += 1) {
    await kiosk.stop();
    times.push(await kiosk.start());
  }
  return times;
}

/** What a day is made of: every sensor has been read, nothing special happened. */
function routineReports(received: readonly Received[]): Received[] {
  const routine = received.filter(({ report }) => report.trigger.kind === 'schedule' && report.ask === undefined);
  const wrong = routine
    .flatMap(({ report }) => Object.entries(report.readings))
    .find(([, { value }]) => value === null);
  if (routine.length === 0) throw new Error('no routine report was seen: measure for longer');
  if (wrong) throw new Error(`${wrong[0]} was not read: ${JSON.stringify(wrong[1])}`);
  return routine;
}

/** Events are synced to disk before they are sent. */
async function bytesPerEvent(kiosk: KioskProcess): Promise<number> {
  const before = await figuresOf(kiosk.pid);
  for (let n = 0; n < EVENTS; n += 1) {
    kiosk.hardware.swipe();
    await sleep(200);
  }
  const after = await figuresOf(kiosk.pid);
  return Math.round((after.diskBytes - before.diskBytes) / EVENTS);
}

const perDay = (before: ProcessFigures, after: ProcessFigures): number =>
  ((after.diskBytes - before.diskBytes) / (after.atMs - before.atMs)) * MS_PER_DAY;

const share = (before: ProcessFigures, after: ProcessFigures): number =>
  Math.round(((after.processorMs - before.processorMs) / (after.atMs - before.atMs)) * 1e5) / 1e5;

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

const round = (ratio: number): number => Math.round(ratio * 1000) / 1000;

function print(figures: Record<string, number>): void {
  if (flags.json) console.log(JSON.stringify(figures));
  else console.table(Object.fromEntries(Object.entries(figures).map(([name, value]) => [name, { value }])));
}

await main();
