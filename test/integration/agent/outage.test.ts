import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OUTBOX_FILE, parseOutbox } from '@paddock/agent/report/outbox-file.ts';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { openEnvelope, parseEnvelope } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type KeySet, type VerificationKey } from '@paddock/shared/keys.ts';
import { parseReport, type Report } from '@paddock/shared/report.ts';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { pinCloudKeys } from '../../harness/agent/card-kiosk.ts';
import { agent, newHome, startAgent, type Running } from '../../harness/agent/cli.ts';
import { startCloudProcess, type CloudProcess } from '../../harness/cloud-process.ts';
import { freshDatabase, type FreshDatabase } from '../../harness/database.ts';
import { openPty, type Pty } from '../../harness/pty.ts';
import { startTcpRelay, type TcpRelay } from '../../harness/tcp-relay.ts';

const DEVICE = 'kiosk-outage';
/** So many routine reports of the outage have to reach the disk, in batches of this many. */
const ROUTINE = 500;
const BATCH = 48;
const EVENTS = 20;

let database: FreshDatabase;
let cloud: CloudProcess;
let relay: TcpRelay;
let pty: Pty;
let isReachable: boolean;
let home: string;
let key: VerificationKey;
const running: Running[] = [];

const configuration = (url: string, port: string): string => `
device: ${DEVICE}
cloud: { url: '${url}' }
report: { urgentMinIntervalMs: 0, jitterSeconds: 0 }
outbox: { routineReports: 64 }
log: { level: debug }
ports:
  panel: { kind: serial-lines, path: ${port}, format: json }
sensors:
  door: { kind: binary, source: { port: panel, field: door, on: open }, urgent: true }
events:
  card-swipe: { source: { port: panel, field: event, equals: card-swipe } }
`;

beforeEach(async () => {
  database = await freshDatabase();
  cloud = await startCloudProcess({ DATABASE_URL: database.url });
  isReachable = false;
  relay = await startTcpRelay(() => (isReachable ? Number(new URL(cloud.mqttUrl).port) : null));
  pty = openPty();
  home = newHome();
  const url = `mqtt://127.0.0.1:${relay.port}`;
  const { out } = await agent(home, 'init', '--device', DEVICE, '--url', url, '--json');
  const { publicKey } = JSON.parse(out) as { publicKey: KeySet['keys'][number] };
  key = await importVerificationKey(publicKey);
  const { body } = await cloud.call('POST', '/devices', { deviceId: DEVICE, publicKey });
  await pinCloudKeys(home, body['cloudKeys'] as KeySet);
  writeFileSync(join(home, 'agent.yaml'), configuration(url, pty.path));
}, 60_000);
afterEach(async () => {
  for (const { child, ended } of running.splice(0)) {
    child.kill('SIGKILL');
    await ended;
  }
  pty.master.close();
  await relay.close();
  await cloud.stop();
  await database.drop();
});

function run(): { agent: Running; said: () => string } {
  const started = startAgent(home, 'run');
  running.push(started);
  let said = '';
  started.child.stderr?.on('data', (chunk: Buffer) => void (said += chunk.toString()));
  return { agent: started, said: () => said };
}

/** Sequences that the agent called kept: its log may be counted on. */
function keptOf(said: string): { routine: Set<number>; events: Set<number> } {
  const lines = said.split('\n').filter((line) => line.includes('_kept"') && line.endsWith('}'));
  const kept = lines.map((line) => JSON.parse(line) as { code: string; sequence?: number; sequences?: number[] });
  const of = (code: string): Set<number> =>
    new Set(
      kept.filter((line) => line.code === code).flatMap(({ sequence, sequences }) => sequences ?? sequence ?? []),
    );
  return { routine: of('routine_kept'), events: of('event_kept') };
}

/** How many reports of a start were let go by answers. */
const answeredOf = (said: string, start: number): number =>
  said
    .split('\n')
    .filter((line) => line.includes('"The cloud answered"') && line.endsWith('}'))
    .map((line) => JSON.parse(line) as { start: number; recorded: number })
    .reduce((sum, line) => sum + (line.start === start ? line.recorded : 0), 0);

async function until(what: string, is: () => boolean | Promise<boolean>): Promise<void> {
  for (let n = 0; n < 6_000; n += 1) {
    if (await is()) return;
    await sleep(20);
  }
  throw new Error(`It never came to this: ${what}`);
}

interface Row {
  readonly start: number;
  readonly sequence: number;
  readonly receivedAt: number;
  readonly report: Report;
}

/** The archive, in order of arrival. */
async function archive(): Promise<Row[]> {
  const rows = await database.store.query<{ start: number; sequence: number; received_at: Date; envelope: string }>(
    'SELECT start, sequence, received_at, envelope FROM reports WHERE device_id = $1 ORDER BY received_at',
    [DEVICE],
  );
  return Promise.all(
    rows.map(async ({ start, sequence, received_at, envelope }) => {
      const report = parseReport(await openEnvelope(parseEnvelope(envelope), key, inflater));
      return { start, sequence, receivedAt: received_at.getTime(), report };
    }),
  );
}

const countOf = async (start: number): Promise<number> => {
  const [row] = await database.store.query<{ count: number }>(
    'SELECT count(*)::int AS count FROM reports WHERE device_id = $1 AND start = $2',
    [DEVICE, start],
  );
  return row?.count ?? 0;
};

it('keeps an outage through a kill, and has it in the archive once, without a delay of what is new', async () => {
  const before = run();
  let open = false;
  const toggle = (): Promise<void> => {
    open = !open;
    return pty.master.write(`${JSON.stringify({ door: open ? 'open' : 'closed' })}\n`);
  };
  await until('the panel is read', async () => {
    await toggle();
    return before.said().includes('_kept');
  });
  for (let n = 1; n <= EVENTS; n += 1) {
    await pty.master.write(`${JSON.stringify({ event: 'card-swipe', number: n })}\n`);
    await toggle();
    await sleep(10);
  }
  await until('the outage is on the disk', async () => {
    await toggle();
    const { routine, events } = keptOf(before.said());
    return routine.size >= ROUTINE && events.size >= EVENTS;
  });
  before.agent.child.kill('SIGKILL');
  await before.agent.ended;
  const kept = keptOf(before.said());

  isReachable = true;
  const after = run();
  await until('the backlog is on its way', async () => (await countOf(1)) > BATCH);
  const live: number[] = [];
  while ((await countOf(1)) < ROUTINE / 2) {
    live.push(Date.now());
    await toggle();
    await sleep(300);
  }
  const all = [...kept.routine, ...kept.events];
  await until('all of it is answered', () => answeredOf(after.said(), 1) >= all.length);
  after.agent.child.kill('SIGTERM');
  await after.agent.ended;

  const rows = await archive();
  const places = rows.map(({ start, sequence }) => `${start}/${sequence}`);
  expect(new Set(places).size).toBe(places.length);
  expect(all.filter((sequence) => !places.includes(`1/${sequence}`))).toEqual([]);
  // Oldest first among what waited; and of it only what was under way already goes before what is new.
  const backlog = rows.filter(({ start }) => start === 1);
  const changes = rows.filter(({ start, report }) => start === 2 && report.trigger.kind === 'change');
  expect(changes.length).toBeGreaterThanOrEqual(live.length - 1);
  for (const change of changes) {
    const madeAt = change.report.wallMs ?? 0;
    const overtook = backlog.filter(({ receivedAt }) => receivedAt > madeAt && receivedAt < change.receivedAt);
    expect(overtook.length).toBeLessThanOrEqual(10);
  }
  // Let go in memory, and cleared from the disk at the end.
  const left = parseOutbox(readIfThere(join(home, 'state', OUTBOX_FILE)), DEVICE);
  expect(left.reports.filter(({ start }) => start === 1)).toEqual([]);
}, 120_000);

function readIfThere(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch {
    return new Uint8Array();
  }
}
