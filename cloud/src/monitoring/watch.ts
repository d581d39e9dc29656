import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { PRESENCE_WORDS } from '../devices/presence.ts';
import type { Clock, Log, Metrics, Sql, Store } from '../ports.ts';
import { judgeFleet, type PresenceCounts, type Transition } from './fleet.ts';
import { DEAF, listen, type Listening } from './listening.ts';
import { addNotices, fleetNotices, forgetNotices, noticesOf, type Notice } from './notifications.ts';
import { ALLOWANCE, presenceOf, type Allowance } from './presence.ts';
import {
  candidates,
  listeningSince,
  presenceCounts,
  readFleetWatch,
  sayListening,
  takeTurn,
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
  readonly settings?: WatchSettings;
}

export interface Watch {
  /** Whether devices can reach us through the broker; false until told otherwise. */
  reachable(reachable: boolean): void;
  /** Looks at every device whose presence may have changed. @returns how many did */
  round(): Promise<number>;
  /** Rounds until aborted. A round that fails is logged, and what it missed counts as a gap. */
  run(signal: AbortSignal): Promise<void>;
}

/** Watches over presence: decisions are in presence.ts and fleet.ts, this reads, writes and tells. */
export function createWatch(parts: WatchParts): Watch {
  const { store, clock, metrics, log, settings = WATCH_SETTINGS } = parts;
  let isReachable = false;
  let listening: Listening = DEAF;

  async function round(): Promise<number> {
    const now = clock.wall();
    listening = listen(listening, isReachable, now, settings.maxGapMs);
    await sayListening(store, parts.listenerId, listening.since, now);
    await forgetNotices(store, wallMs(now - settings.keepNoticesMs));
    const told = await store.transaction((sql) => turn(sql, now, settings));
    for (const notice of told.notices) tell(log, notice);
    publishCounts(metrics, await presenceCounts(store));
    return told.changes;
  }

  return {
    reachable(reachable) {
      isReachable = reachable;
      if (!reachable) listening = DEAF;
    },
    round,
    async run(signal) {
      let failing = false;
      while (!signal.aborted) {
        // Told once, or a database that is away would fill the log.
        const failed = await round().then(
          () => false,
          (error: unknown) => {
            if (!failing) log.error({ err: error }, 'Presence could not be judged; trying until it can');
            return true;
          },
        );
        if (failing && !failed) log.info({}, 'Presence is judged again');
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

/** One round, if it is this instance's turn: everything it changes commits together. */
async function turn(sql: Sql, now: WallMs, settings: WatchSettings): Promise<Told> {
  if (!(await takeTurn(sql))) return { changes: 0, notices: [] };
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
  const { deviceId, customerId, name, heard, judged } = candidate;
  const previous = judged?.state ?? 'never-seen';
  const state = presenceOf(candidate, since, now, allowance);
  return state === previous ? [] : [{ deviceId, customerId, name, state, previous, heardAt: heard?.at ?? null }];
}

const MESSAGES = {
  'device.lost': 'A device is lost',
  'device.back': 'A device is back',
  'fleet.silent': 'Most of the fleet fell silent: no device is called lost until it is heard again',
  'fleet.back': 'The fleet is heard again',
} as const satisfies Record<Notice['type'], string>;

function tell(log: Log, { type, data }: Notice): void {
  const level = type === 'device.back' || type === 'fleet.back' ? 'info' : 'warn';
  log[level]({ event: type, ...data }, MESSAGES[type]);
}

function publishCounts(metrics: Metrics, counts: PresenceCounts): void {
  for (const presence of PRESENCE_WORDS) metrics.gauge('paddock_devices', counts[presence] ?? 0, { presence });
}
