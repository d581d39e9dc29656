import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { diskReader } from './adapters/disk.ts';
import { createMachine } from './adapters/machine.ts';
import { BUILT_AT } from './built-at.ts';
import { parseStatus, STATUS_FILE, type ClockStatus } from './clock/clock-status.ts';
import type { Moment } from './clock/exchange.ts';
import { middleOf, skewOf } from './clock/skew.ts';
import { parseTime, TIME_FILE } from './clock/time-file.ts';
import { isKnown, trustedAt, untrusted } from './clock/trusted-time.ts';
import type { AgentConfig } from './config.ts';
import type { Finding } from './finding.ts';
import type { Clock } from './ports.ts';

/** A wall clock that is certainly wrong by more than this is worth a word. */
const WORTH_A_WORD_MS = 1_000;

/** What can be known of the time without asking anybody. */
export interface TimeFacts {
  readonly now: Moment;
  readonly wall: WallMs;
  readonly bootId: string;
  /** What a running agent, or the last one, has left; null when there is nothing. */
  readonly status: ClockStatus | null;
  /** Trusted time as it was kept for the next boot; null when there is nothing that can be believed. */
  readonly kept: WallMs | null;
}

/** Trusted time as the agent knows it, and the wall clock against it. */
export async function checkTime({ dataDir }: AgentConfig, clock: Clock): Promise<Finding> {
  const disk = diskReader(dataDir);
  const read = (file: string): Promise<Uint8Array | null> => disk.read(file).catch(() => null);
  const kept = await parseTime(await read(TIME_FILE));
  return judgeTime({
    status: parseStatus(await read(STATUS_FILE)),
    kept: typeof kept === 'string' ? null : kept,
    bootId: await createMachine(dataDir).bootId(),
    now: { at: clock.monotonic(), segment: clock.segment() },
    wall: clock.wall(),
  });
}

export function judgeTime(facts: TimeFacts): Finding {
  const { now, wall, kept } = facts;
  const status = facts.status?.bootId === facts.bootId ? facts.status : null;
  const { floor } = untrusted(BUILT_AT, kept);
  if (status === null) return judgeFloor(wall, floor, kept !== null);
  // An exchange of this boot replaces the floor, even across a suspend.
  const interval = trustedAt({ floor: status.anchor.lower.wall, anchor: status.anchor }, now);
  if (!isKnown(interval)) return judgeFloor(wall, interval.earliest, true);
  const { at, errorMs } = middleOf(interval);
  const skewMs = skewOf(wall, interval);
  const message =
    `It is ${toInstant(at)} ± ${seconds(errorMs)}; the last exchange was ${seconds(now.at - status.exchangedAt)} ago ` +
    `and took ${seconds(status.roundTripMs)}. The wall clock says ${toInstant(wall)}`;
  if (Math.abs(skewMs) <= WORTH_A_WORD_MS) return { check: 'clock', status: 'ok', message: `${message}: right` };
  const wrong = `${seconds(Math.abs(wall - at))} ${skewMs > 0 ? 'ahead' : 'behind'}`;
  return clockWarning('clock_wrong', `${message}: ${wrong}`);
}

/** Before an exchange only a clock that is behind can be told from one that is right. */
function judgeFloor(wall: WallMs, floor: WallMs, isKept: boolean): Finding {
  const why = isKept ? 'by an earlier exchange' : 'by the time of its build';
  const message = `No exchange since the boot or the last suspend: it is ${toInstant(floor)} or later, ${why}. The wall clock says ${toInstant(wall)}`;
  return wall >= floor ? { check: 'clock', status: 'ok', message } : clockWarning('clock_not_set', message);
}

const clockWarning = (code: string, message: string): Finding => ({
  check: 'clock',
  status: 'warn',
  code,
  message: `${message}. Reports are placed by uptime nevertheless; cron runs by this clock (see clock.setSystemClock)`,
});

const seconds = (ms: number): string => `${(ms / 1000).toFixed(ms < 10_000 ? 3 : 0)} s`;
