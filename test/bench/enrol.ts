/**
 * How many devices a second enrol by claim: `npm run bench:enrol [-- --json] [--devices 1000] [--at-once 16]`. Each has
 * a key, a TLS key and a claim of its own, and a connection with TLS of its own that carries nonce and request, over
 * loopback. The service runs as it is started, with the database that it brings along; all share the machine.
 * The answers' signatures are checked afterwards. `serviceMicros`, `databaseMicros` and `loadMicros` are processor time
 * for each device: where it goes, also when other programs disturb the rate.
 */
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { inflater } from '@paddock/cloud/adapters/inflate.ts';
import { parseEnrolled } from '@paddock/shared/enrolment.ts';
import { openEnvelope, parseEnvelope, seal } from '@paddock/shared/envelope.ts';
import { importVerificationKey, type KeySet } from '@paddock/shared/keys.ts';
import { startCloudProcess } from '../harness/cloud-process.ts';
import { makeCsr } from '../harness/csr.ts';
import { makeTestKey, type TestKey } from '../harness/signing.ts';
import { figuresOf, offspringMs } from './process-figures.ts';

const { values: flags } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    devices: { type: 'string', default: '1000' },
    'at-once': { type: 'string', default: '16' },
  },
});
const DEVICES = Number(flags.devices);
const AT_ONCE = Number(flags['at-once']);
const WARM_UP = Math.ceil(DEVICES / 10);
const PROGRAM = join(import.meta.dirname, '../../cloud/bin/paddock.cjs');

type Spent = Record<'service' | 'database' | 'load', number>;

interface Newcomer {
  readonly key: TestKey;
  readonly csr: string;
  readonly claim: string;
  took: number;
  answer: string;
}

const cloud = await startCloudProcess({
  PADDOCK_ENROL_PER_ADDRESS: '1000000',
  PADDOCK_ENROL_ADDRESS_HANDSHAKES: '1000000',
  PADDOCK_LOG_LEVEL: 'warn',
});
try {
  const newcomers = await makeNewcomers(WARM_UP + DEVICES);
  const ca = readFileSync(join(cloud.dataDir, 'ca.cert.pem'), 'utf8');
  await enrolAll(newcomers.slice(0, WARM_UP), ca);
  const before = await spent();
  const began = performance.now();
  await enrolAll(newcomers.slice(WARM_UP), ca);
  const seconds = (performance.now() - began) / 1_000;
  const after = await spent();
  const micros = (part: keyof Spent): number => Math.round(((after[part] - before[part]) * 1_000) / DEVICES);
  const devices = await judge(newcomers);
  const took = newcomers
    .slice(WARM_UP)
    .map((one) => one.took)
    .toSorted((a, b) => a - b);
  const result = {
    processors: availableParallelism(),
    devices,
    atOnce: AT_ONCE,
    seconds: round(seconds),
    perSecond: round(DEVICES / seconds),
    medianMs: round(took[Math.floor(took.length / 2)] ?? NaN),
    p99Ms: round(took[Math.floor(took.length * 0.99)] ?? NaN),
    serviceMicros: micros('service'),
    databaseMicros: micros('database'),
    loadMicros: micros('load'),
  };
  if (flags.json) console.log(JSON.stringify(result));
  else console.table([result]);
} finally {
  await cloud.stop();
}

/** Processor time until now, in ms. */
async function spent(): Promise<Spent> {
  const [service, database, load] = [
    await figuresOf(cloud.pid),
    await offspringMs(cloud.pid),
    await figuresOf(process.pid),
  ];
  return { service: service.processorMs, database, load: load.processorMs };
}

/** Keys, certificate requests and claims, made by the command that factories use. */
async function makeNewcomers(count: number): Promise<Newcomer[]> {
  const kit = join(cloud.dataDir, 'kit.json');
  const serialNumbers = Array.from({ length: count }, (_, n) => `BENCH-${n}`);
  terminal('factory-keys', 'add', 'bench', '--count', String(count), '--kit', kit);
  const claims = terminal('claims', 'make', ...serialNumbers, '--kit', kit)
    .trim()
    .split('\n');
  return Promise.all(
    claims.map(async (claim) => ({ key: await makeTestKey(), csr: makeCsr().csr, claim, took: 0, answer: '' })),
  );
}

function terminal(...args: string[]): string {
  const place = ['--data-dir', cloud.dataDir, '--url', cloud.httpUrl];
  return execFileSync(process.execPath, [PROGRAM, ...args, ...place], { encoding: 'utf8', maxBuffer: 2 ** 28 });
}

/** So many at once, as many as there are. */
async function enrolAll(newcomers: readonly Newcomer[], ca: string): Promise<void> {
  const waiting = [...newcomers];
  const worker = async (): Promise<void> => {
    for (let next = waiting.pop(); next; next = waiting.pop()) await enrol(next, ca);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

async function enrol(newcomer: Newcomer, ca: string): Promise<void> {
  const began = performance.now();
  const agent = new Agent({ ca, keepAlive: true, maxSockets: 1, maxCachedSessions: 0 });
  const { nonce } = JSON.parse(await post(agent, '/enrol/v1/nonces', '')) as { nonce: string };
  const { key, csr, claim } = newcomer;
  const asked = await seal('enrolment', { v: 1, jwk: key.publicJwk, nonce, csr, claim }, key.signing);
  newcomer.answer = await post(agent, '/enrol/v1/requests', asked);
  newcomer.took = performance.now() - began;
  agent.destroy();
}

function post(agent: Agent, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/jose', 'content-length': Buffer.byteLength(body) };
    const asking = request(`${cloud.enrolUrl}${path}`, { method: 'POST', agent, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
    });
    asking.on('error', reject);
    asking.end(body);
  });
}

/** Every device is another one, with a certificate that names it. @returns how many there are */
async function judge(newcomers: readonly Newcomer[]): Promise<number> {
  const { body } = await cloud.call('GET', '/cloud-keys');
  const [jwk] = (body as object as KeySet).keys;
  const onlineKey = await importVerificationKey(jwk ?? {});
  const devices = new Set<string>();
  for (const { answer } of newcomers) {
    const {
      status,
      device = '',
      certificate,
    } = parseEnrolled(await openEnvelope(parseEnvelope(answer), onlineKey, inflater));
    const leaf = new X509Certificate(Buffer.from(certificate?.chain[0] ?? '', 'base64url'));
    if (status !== 'accepted' || leaf.subject !== `CN=${device}`)
      throw new Error(`${device} was not let in: ${status}`);
    devices.add(device);
  }
  if (devices.size !== newcomers.length) throw new Error('Two devices have one id');
  return devices.size;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
