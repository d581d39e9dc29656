/** A part of the devices of bench:burst, in a process of its own: makes their keys, seals what they will say, runs them. */
import type { VerificationKey } from '@paddock/shared/keys.ts';
import { makeTestKey } from '../harness/signing.ts';
import { BurstDevice, newTally, type Tally } from './burst-device.ts';
import { writeScript, type Script } from './burst-script.ts';

export type Order =
  | {
      readonly kind: 'prepare';
      readonly from: number;
      readonly devices: number;
      readonly backlog: number;
      readonly lives: number;
    }
  | { readonly kind: 'begin'; readonly port: number; readonly livePerSecond: number }
  /** Says how far the devices are; durations only with `result`, because asked for again and again they would be the load. */
  | { readonly kind: 'progress' | 'result' }
  /** Forgets the durations so far, so that the quiet time is counted by itself. */
  | { readonly kind: 'recount' }
  /** No more events. */
  | { readonly kind: 'hush' }
  | { readonly kind: 'end' };

export interface Prepared {
  readonly devices: readonly {
    readonly deviceId: string;
    readonly key: {
      readonly publicJwk: VerificationKey['jwk'];
      readonly verification: { readonly thumbprint: string; readonly keyId: string };
    };
  }[];
}

export interface Progress extends Omit<Tally, 'paces'> {
  readonly open: number;
  readonly caughtUp: number;
  readonly done: number;
  /** Events that were told so far. */
  readonly events: number;
  readonly paces: readonly (readonly [number, number])[];
  /** How late this process came to its own work at worst, in ms: what is measured here is no better. */
  readonly latestTickMs: number;
}

const TICK_MS = 10;
const scripts: Script[] = [];
let devices: BurstDevice[] = [];
let tally = newTally();
let timer: NodeJS.Timeout | undefined;
let livePerSecond = 0;
let latestTickMs = 0;

async function prepare({
  from,
  devices: count,
  backlog,
  lives,
}: Extract<Order, { kind: 'prepare' }>): Promise<Prepared> {
  const prepared: Prepared['devices'][number][] = [];
  for (let n = from; n < from + count; n += 1) {
    const deviceId = `burst-${String(n).padStart(5, '0')}`;
    const key = await makeTestKey();
    const { thumbprint, keyId } = key.verification;
    prepared.push({ deviceId, key: { publicJwk: key.publicJwk, verification: { thumbprint, keyId } } });
    scripts.push(await writeScript(deviceId, key.signing, { backlog, lives }));
  }
  return { devices: prepared };
}

function begin({ port, livePerSecond: rate }: Extract<Order, { kind: 'begin' }>): void {
  const now = performance.now();
  tally = newTally();
  latestTickMs = 0;
  livePerSecond = rate;
  devices = scripts.map((script) => new BurstDevice(script, port, tally, now));
  let next = 0;
  let owed = 0;
  let before = now;
  timer = setInterval(() => {
    const at = performance.now();
    latestTickMs = Math.max(latestTickMs, at - before - TICK_MS);
    for (const device of devices) device.tick(at);
    owed = Math.min(owed + ((at - before) / 1000) * livePerSecond, 100);
    before = at;
    // Whoever is connected may have something to tell: round by round every one of them.
    for (let tries = 0; owed >= 1 && tries < devices.length; tries += 1) {
      next = (next + 1) % devices.length;
      if (devices[next]?.live(at) === true) owed -= 1;
    }
  }, TICK_MS);
}

function progress(kind: Order['kind']): Progress {
  return {
    ...tally,
    ...(kind !== 'result' && { liveMs: [], openedMs: [] }),
    paces: [...tally.paces],
    open: devices.filter(({ isOpen }) => isOpen).length,
    caughtUp: devices.filter(({ hasCaughtUp }) => hasCaughtUp).length,
    done: devices.filter(({ isDone }) => isDone).length,
    events: devices.reduce((sum, { events }) => sum + events, 0),
    latestTickMs,
  };
}

function end(): void {
  clearInterval(timer);
  for (const device of devices) device.close();
}

async function obey(order: Order): Promise<object> {
  if (order.kind === 'prepare') return prepare(order);
  if (order.kind === 'begin') begin(order);
  if (order.kind === 'recount') tally.liveMs.length = latestTickMs = 0;
  if (order.kind === 'hush') livePerSecond = 0;
  if (order.kind === 'end') end();
  return progress(order.kind);
}

process.on('message', (order: Order) => void obey(order).then((answer) => process.send?.(answer)));
// Whoever started us is gone.
process.on('disconnect', () => end());
