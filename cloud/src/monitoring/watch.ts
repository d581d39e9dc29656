import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { PRESENCE_WORDS } from '../devices/presence.ts';
import type { Clock, Log, Metrics, Sql, Store } from '../ports.ts';
import { judgeFleet, type PresenceCounts, type Transition } from './fleet.ts';
import { DEAF, listen, type Listening } from './listening.ts';
import { addNotices, fleetNotices, forgetNotices, noticesOf, type Notice } from './notifications.ts';
import { tell } from './telling.ts';
import { ALLOWANCE, presenceOf, type Allowance } from './presence.ts';
import {
  candidates,
  listeningSince,
  presenceCounts,
  readFleetWatch,
  sayListening,
  writeFleetWatch,
  writeTransitions,
  type Candidate,
} from './queries.ts';

export interface WatchSettings {
  readonly allowance: Allowance;
  readonly roundMs: number;
  /** A longer pause between two rounds is a gap in listening. */
  readonly maxGapMs: number;
  /** How long notifications are kept. */
  readonly keepNoticesMs: number;
}

export const WATCH_SETTINGS: WatchSettings = {
  allowance: ALLOWANCE,
  roundMs: 2_000,
  maxGapMs: 15_000,
  keepNoticesMs: 30 * 86_400_000,
};

export interface WatchParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly log: Log;
  /** Names this process among the instances; new at every start. */
  readonly listenerId: string;
  /** The database's clock: instances that listen, and one that judges, must mean the same time. */
  readonly now: (sql: Sql) => Promise<WallMs>;
  readonly settings?: WatchSettings;
}

export interface Watch {
  /** Whether devices can reach us through the broker; false until told otherwise. */
  reachable(reachable: boolean): void;
  /** Says whether this instance listens: each does so for itself. */
  listen(): Promise<void>;
  /**
   * Looks at every device whose presence may have changed; for one instance at a time.
   * @returns how many did
   */
  judge(store: Store, now: WallMs): Promise<number>;
  /** Listens until aborted. What a round that fails missed counts as a gap. */
  run(signal: AbortSignal): Promise<void>;
}

/** Watches over presence: decisions are in presence.ts and fleet.ts, this reads, writes and tells. */
export function createWatch(parts: WatchParts): Watch {
  const { store, clock, metrics, log, settings = WATCH_SETTINGS } = parts;
  let isReachable = false;
  let listening: Listening = DEAF;

  async function sayWhetherListening(): Promise<void> {
    const now = await parts.now(store);
    listening = listen(listening, isReachable, now, settings.maxGapMs);
    await sayListening(store, parts.listenerId, listening.since, now);
    publishCounts(metrics, await presenceCounts(store));
  }

  return {
    reachable(reachable) {
      isReachable = reachable;
      if (!reachable) listening = DEAF;
    },
    listen: sayWhetherListening,
    async judge(fencedStore, now) {
      const told = await fencedStore.transaction(async (sql) => {
        await forgetNotices(sql, wallMs(now - settings.keepNoticesMs));
        return turn(sql, now, settings);
      });
      for (const notice of told.notices) tell(log, notice);
      return told.changes;
    },
    async run(signal) {
      let failing = false;
      while (!signal.aborted) {
        // Told once, or a database that is away would fill the log.
        const failed = await sayWhetherListening().then(
          () => false,
          (error: unknown) => {
            if (!failing) log.error({ err: error }, 'This instance cannot say that it listens; trying until it can');
            return true;
          },
        );
        if (failing && !failed) log.info({}, 'This instance says again that it listens');
        failing = failed;
        await clock.sleep(settings.roundMs, signal);
      }
    },
  };
}

interface Told {
  readonly changes: number;
  readonly notices: readonly Notice[];
}

/** One round: everything it changes commits together. */
async function turn(sql: Sql, now: WallMs, settings: WatchSettings): Promise<Told> {
  const fleet = await readFleetWatch(sql);
  const wasSilent = fleet.silentSince !== null;
  const heardSince = await listeningSince(sql, wallMs(now - settings.maxGapMs));
  const since = heardSince === null ? null : wallMs(Math.max(heardSince, fleet.allowanceFrom ?? heardSince));
  const looked = await candidates(sql, since, now, wasSilent, settings.allowance);
  const proposed = looked.flatMap((candidate) => propose(candidate, since, now, settings.allowance));
  // Where no device changes, the fleet does not either.
  if (proposed.length === 0) return { changes: 0, notices: [] };
  const verdict = judgeFleet(await presenceCounts(sql), proposed, wasSilent);
  const notices = [...fleetNotices(verdict, wasSilent, now), ...noticesOf(verdict.transitions, now)];
  await writeTransitions(sql, verdict.transitions, now);
  await addNotices(sql, notices);
  // When the fleet is heard again, those still on their way back have their allowance anew.
  if (verdict.silent && !wasSilent) await writeFleetWatch(sql, { ...fleet, silentSince: now });
  if (!verdict.silent && wasSilent) await writeFleetWatch(sql, { silentSince: null, allowanceFrom: now });
  return { changes: verdict.transitions.length, notices };
}

function propose(candidate: Candidate, since: WallMs | null, now: WallMs, allowance: Allowance): Transition[] {
  const { deviceId, customerId, name, heard, judged, cause } = candidate;
  const previous = judged?.state ?? 'never-seen';
  const state = presenceOf(candidate, since, now, allowance);
  if (state === previous) return [];
  return [{ deviceId, customerId, name, state, previous, heardAt: heard?.at ?? null, cause }];
}

function publishCounts(metrics: Metrics, counts: PresenceCounts): void {
  for (const presence of PRESENCE_WORDS) metrics.gauge('paddock_devices', counts[presence] ?? 0, { presence });
}
