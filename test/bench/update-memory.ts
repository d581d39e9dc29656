import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { openInstaller } from '@paddock/agent/installer.ts';
import { prepareRun } from '@paddock/agent/slots/launch.ts';
import { createTreeCalls } from '@paddock/agent/adapters/tree-calls.ts';
import { readContent } from '@paddock/agent/slots/whole.ts';
import type { Bundle } from '@paddock/cloud/bundles/bundle.ts';
import { seal } from '@paddock/shared/envelope.ts';
import { isFile } from '@paddock/shared/bundle-index.ts';
import { targetPathOf } from '@paddock/shared/manifest.ts';
import { packPathOf } from '@paddock/shared/pack.ts';
import { toInstant, wallMs } from '@paddock/shared/time.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { TestBroker } from '../harness/agent/broker.ts';
import { KioskProcess } from '../harness/agent/kiosk-process.ts';
import { targetOf, TufSimulator } from '../harness/tuf/simulator.ts';
import type { Packs } from './update-packs.ts';

const AGENT = join(import.meta.dirname, '../../agent');
const DEVICE = 'bench-update';
/** Until what it started with has been let go. */
const SETTLE_MS = 20_000;
const WITHIN_MS = 300_000;

/** How much more memory the agent takes at most, from its first request until the release is staged. */
export interface MemoryFigures {
  readonly agentIdleBytes: number;
  readonly fullGrowthBytes: number;
  readonly deltaGrowthBytes: number;
}

/** The agent as it is released, on a kiosk's hardware, before a broker and a repository: everything, and then two bumped packages. */
export async function measureMemory(packs: Packs): Promise<MemoryFigures> {
  await promisify(execFile)(process.execPath, [join(AGENT, 'bundle.ts')]);
  const full = await measured(packs, packs.first, null);
  const delta = await measured(packs, packs.twoBumped, packs.first);
  return {
    agentIdleBytes: full.idleBytes,
    fullGrowthBytes: full.peakBytes - full.idleBytes,
    deltaGrowthBytes: delta.peakBytes - delta.idleBytes,
  };
}

interface Measured {
  readonly idleBytes: number;
  readonly peakBytes: number;
}

async function measured(packs: Packs, to: Bundle, from: Bundle | null): Promise<Measured> {
  const broker = await TestBroker.start();
  const [repository, server] = await serve(packs);
  const { model, slots } = { model: to.manifest.models[0] ?? '', slots: 'slots' };
  const lines = [`firmware: { slots: ${slots}, root: root.json, model: ${model} }`];
  const kiosk = await KioskProcess.prepare(join(AGENT, 'dist/paddock-agent.cjs'), DEVICE, broker, lines);
  try {
    await writeFile(join(kiosk.home, 'root.json'), repository.file('metadata/1.root.json'));
    if (from !== null) await install(join(kiosk.home, slots), from);
    addRelease(repository, to);
    await kiosk.start();
    await sleep(SETTLE_MS);
    const idleBytes = await memoryOf(kiosk.pid, 'VmRSS');
    // proc_pid_clear_refs(5): the peak begins anew.
    await writeFile(`/proc/${kiosk.pid}/clear_refs`, '5');
    await desire(broker, kiosk, to, `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await until(() => existsSync(join(kiosk.home, slots, from === null ? 'a' : 'b', '.paddock/manifest.json')));
    return { idleBytes, peakBytes: await memoryOf(kiosk.pid, 'VmHWM') };
  } finally {
    await kiosk.remove();
    server.closeAllConnections();
    server.close();
    await broker.stop();
  }
}

/** Metadata from memory, packs from their files. */
async function serve({ first, twoBumped, packs }: Packs): Promise<[TufSimulator, Server]> {
  const repository = new TufSimulator();
  const [before, after] = [first.manifest.index.sha256, twoBumped.manifest.index.sha256];
  const files = new Map([
    [packPathOf(before, null), packs.full],
    [packPathOf(after, before), packs.twoBumped],
  ]);
  const server = createServer((request, response) => {
    const path = (request.url ?? '').slice(1);
    const file = files.get(path);
    const known = repository.files.get(path);
    if (file === undefined) return void response.writeHead(known ? 200 : 404).end(known);
    const [start = 0, end = 0] = (request.headers.range ?? '').match(/\d+/g)?.map(Number) ?? [];
    stat(file)
      .then(({ size }) => {
        const last = Math.min(end, size - 1);
        response.writeHead(206, { 'content-range': `bytes ${start}-${last}/${size}` });
        return pipeline(createReadStream(file, { start, end: last }), response);
      })
      .catch(() => response.destroy());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return [repository, server];
}

function addRelease(repository: TufSimulator, { manifest, manifestBytes }: Bundle): void {
  const path = targetPathOf(manifest);
  repository.targets[path] = targetOf(manifestBytes);
  repository.putTarget(path, manifestBytes);
  // Its dates are those of tests.
  const expires = toInstant(wallMs(Math.floor(Date.now() / 1_000) * 1_000 + 86_400_000)).replace('.000Z', 'Z');
  for (const role of Object.values(repository.roles)) role.expires = expires;
  repository.publish();
}

/** What ran before, without an agent. */
async function install(slots: string, bundle: Bundle): Promise<void> {
  await mkdir(slots, { recursive: true });
  const installer = openInstaller(slots);
  for (const { sha256 } of bundle.entries.filter(isFile))
    await installer.objects.putStream(sha256, bundle.object(sha256));
  const content = readContent(bundle.manifestBytes, bundle.indexBytes);
  if (content === null) throw new Error('Manifest and index do not belong together');
  await installer.stage(content, new AbortController().signal);
  await installer.activate(bundle.sha256, { starts: 3, withinMs: 60_000 });
  prepareRun(createTreeCalls(slots));
  await installer.markGood(bundle.sha256);
  await installer.objects.keepOnly(new Set());
  await installer.close();
}

/** As the cloud says it, signed. */
async function desire(broker: TestBroker, kiosk: KioskProcess, bundle: Bundle, repository: string): Promise<void> {
  const { name, version, counter } = bundle.manifest;
  const now = Date.now();
  const message = {
    v: 1,
    device: DEVICE,
    incarnation: kiosk.received.at(-1)?.report.incarnation,
    epoch: 0,
    version: 1,
    issuedAt: toInstant(wallMs(now)),
    expiresAt: toInstant(wallMs(now + 3_600_000)),
    state: { firmware: { name, version, counter, sha256: bundle.sha256, repository } },
  };
  const payload = await seal('desired', message, kiosk.cloud.key.signing);
  const packet = { cmd: 'publish', qos: 1, dup: false, retain: true, topic: topicOf('desired', DEVICE) } as const;
  broker.aedes.publish({ ...packet, payload }, () => {});
}

async function until(isThere: () => boolean): Promise<void> {
  for (const end = performance.now() + WITHIN_MS; !isThere(); await sleep(50))
    if (performance.now() > end) throw new Error('The release was not staged in time');
}

async function memoryOf(pid: number, field: string): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1_024;
}
