import { join } from 'node:path';
import { importVerificationKey } from '@paddock/shared/keys.ts';
import type { Api } from '../api.ts';
import { openFactory } from '../claim.ts';
import { LightDevice } from './device.ts';
import { enrol } from './enrol.ts';
import { Identities, signingOf, type Identity, type Membership } from './identities.ts';

const ENROL_AT_ONCE = 8;
const CLOSE_AT_ONCE = 50;

export interface FleetOptions {
  readonly count: number;
  readonly everyMs: number;
  readonly folder: string;
  readonly api: Api;
  readonly signal: AbortSignal;
  /** Hears of every device that has enrolled now: so many of those that had not yet, in so many ms. */
  readonly progress: (enrolled: number, missing: number, ms: number) => void;
}

export interface Fleet {
  /** Reports sent and lost, and answers verified, since the start. */
  counts(): { readonly sent: number; readonly lost: number; readonly answered: number };
  /** Rejects when a device cannot run at all; never resolves. */
  readonly failed: Promise<never>;
  /** Every device says goodbye. */
  close(): Promise<void>;
}

/** Makes, enrols and runs simulated devices, each with its own key, certificate, start and connection. */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { count, everyMs, signal } = options;
  const identities = new Identities(join(options.folder, 'fleet.json'));
  const rows = await enrolled(identities, identities.begin(count), options);
  const counts = { sent: 0, lost: 0, answered: 0 };
  const told = (what: keyof typeof counts): void => void (counts[what] += 1);
  const devices = await Promise.all(
    rows.map(async ([row, membership], index) => {
      const signing = await signingOf(row);
      const cloudKeys = await Promise.all(membership.cloudKeys.map((jwk) => importVerificationKey(jwk)));
      return new LightDevice({ ...row, ...membership, index, signing, cloudKeys, everyMs, told });
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

/** Lets those enrol that never did, or whose certificate is due for the next one. */
async function enrolled(
  identities: Identities,
  rows: readonly Identity[],
  { api, signal, progress }: FleetOptions,
): Promise<[Identity, Membership][]> {
  const now = new Date().toISOString();
  const missing = rows.filter(({ membership }) => membership === undefined || membership.renewAfter <= now);
  const factory = missing.length === 0 ? null : await openFactory(api, null, missing.length);
  const given = new Map<string, Membership>();
  const startedAt = performance.now();
  await inParallel(missing, ENROL_AT_ONCE, async (row) => {
    signal.throwIfAborted();
    given.set(row.serialNumber, await enrol(row, (await factory?.claim(row.serialNumber)) ?? ''));
    progress(given.size, missing.length, performance.now() - startedAt);
  });
  identities.enrolled(given);
  return rows.flatMap((row): [Identity, Membership][] => {
    const membership = given.get(row.serialNumber) ?? row.membership;
    return membership === undefined ? [] : [[row, membership]];
  });
}

async function inParallel<T>(items: readonly T[], lanes: number, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  const lane = async (): Promise<void> => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}
