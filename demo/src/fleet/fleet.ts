import { join } from 'node:path';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import type { Api } from '../api.ts';
import { LightDevice } from './device.ts';
import { Identities, signingOf } from './identities.ts';

const REGISTER_AT_ONCE = 8;
const CLOSE_AT_ONCE = 50;

export interface FleetOptions {
  readonly count: number;
  readonly everyMs: number;
  readonly folder: string;
  readonly mqttUrl: string;
  readonly api: Api;
  readonly signal: AbortSignal;
  /** Hears of every device that was registered now: so many of those that were not yet. */
  readonly progress: (registered: number, missing: number) => void;
}

export interface Fleet {
  /** Reports sent and lost, and answers verified, since the start. */
  counts(): { readonly sent: number; readonly lost: number; readonly answered: number };
  /** Rejects when a device cannot run at all; never resolves. */
  readonly failed: Promise<never>;
  /** Every device says goodbye. */
  close(): Promise<void>;
}

/** Makes, registers and runs simulated devices, each with its own key, start and connection. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { count, everyMs, api, signal } = options;
  const identities = new Identities(join(options.folder, 'fleet.json'));
  const rows = identities.begin(count);
  const missing = rows.filter(({ registered }) => !registered);
  let registered = 0;
  await inParallel(missing, REGISTER_AT_ONCE, async ({ deviceId, privateKey }) => {
    signal.throwIfAborted();
    const { jwk } = await importVerificationKey(privateKey);
    await api.ensure('/devices', { deviceId, publicKey: jwk });
    options.progress(++registered, missing.length);
  });
  identities.registered(count);
  const cloudKeys = await Promise.all((await api.cloudKeys()).keys.map(importVerificationKey));
  const counts = { sent: 0, lost: 0, answered: 0 };
  const told = (what: keyof typeof counts): void => void (counts[what] += 1);
  const url = options.mqttUrl;
  const devices = await Promise.all(
    rows.map(async (row, index) => {
      const signing = await signingOf(row);
      return new LightDevice({ ...row, index, signing, cloudKeys, url, everyMs, told });
    }),
  );
  // Spread over one period, so that neither connections nor reports come all at once.
  const runs = devices.map((device, index) => device.run((index * everyMs) / count, signal));
  const failed = new Promise<never>((_, reject) => {
    for (const run of runs) run.catch(reject);
  });
  return {
    counts: () => ({ ...counts }),
    failed,
    async close() {
      await Promise.allSettled(runs);
      await inParallel(devices, CLOSE_AT_ONCE, (device) => device.close().catch(() => {}));
    },
  };
}

async function inParallel<T>(items: readonly T[], lanes: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
