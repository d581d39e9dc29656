/**
 * What a large outbox costs an agent: `npm run bench:outbox [-- --json]`. Reports of an earlier start are found on
 * the disk, sent oldest first and let go by answers; each row says how long that takes and what it takes in memory.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openDisk } from '@paddock/agent/adapters/disk.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { formatReport, OUTBOX_FILE } from '@paddock/agent/report/outbox-file.ts';
import { openOutboxStore, type OutboxStore } from '@paddock/agent/report/store.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { answerTo, findHeld, sealedReport, THIS_START } from '../harness/agent/held-reports.ts';

const { values: flags } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const DEVICE = 'kiosk-0001';
/** A report of twenty sensors, as the agent seals it. */
const ENVELOPE = 'x'.repeat(570);
const SIZES = [5_000, 10_000, 20_000, 40_000];
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** One report in six asks, as the agent makes them. */
const reports = (count: number) =>
  Array.from({ length: count }, (_, n) =>
    sealedReport(n, { start: 2, nonce: n % 6 === 0 ? 'nnnnnnnnnnn' : null, envelope: ENVELOPE }),
  );

async function measure(count: number): Promise<Record<string, number>> {
  const directory = await mkdtemp(join(tmpdir(), 'paddock-outbox-'));
  const lines = reports(count).map((report) => formatReport(DEVICE, report));
  await writeFile(join(directory, OUTBOX_FILE), lines.join(''));
  const disk = await openDisk(directory);
  const limits = { routineReports: 256, diskBytes: 67_108_864, maxAgeMs: Infinity };
  const before = memory();
  const began = performance.now();
  const store = await openOutboxStore(
    disk,
    { device: DEVICE, ...THIS_START, outbox: limits },
    quiet,
    createSystemClock(),
  );
  const opened = performance.now();
  const held = memory();
  sendAll(store);
  const sent = performance.now();
  await store.close(true);
  const closed = performance.now();
  await rm(directory, { recursive: true });
  return {
    reports: count,
    fileMiB: round(lines.join('').length / 1_048_576),
    openMs: round(opened - began),
    heldMiB: round((held - before) / 1_048_576),
    sendAndSettleMs: round(sent - opened),
    perReportUs: round(((sent - opened) / count) * 1_000),
    closeMs: round(closed - sent),
  };
}

/** The cloud answers at once: what is measured is the outbox alone. */
function sendAll(store: OutboxStore): void {
  const outbox = store.outbox();
  let highest = -1;
  let now = 0;
  for (let next = outbox.next(true, uptimeMs(now)); next; next = outbox.next(true, uptimeMs((now += 50)))) {
    outbox.sent(next.digest, uptimeMs(now));
    highest = Math.max(highest, next.sequence);
    if (next.nonce !== null)
      store.settle(answerTo(next, { recorded: [[0, highest]] }), findHeld(outbox, next), uptimeMs(now));
  }
  if (outbox.waiting > 0) throw new Error(`${outbox.waiting} reports were never let go`);
}

function memory(): number {
  globalThis.gc?.();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

const round = (value: number): number => Math.round(value * 10) / 10;

const rows: Record<string, number>[] = [];
await measure(1_000);
for (const size of SIZES) rows.push(await measure(size));
if (flags.json) console.log(JSON.stringify({ rows }));
else console.table(rows);
