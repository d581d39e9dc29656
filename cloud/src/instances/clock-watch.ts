import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { addNotices, type Notice } from '../monitoring/notifications.ts';
import type { Sql, Store } from '../ports.ts';
import { contradicting, type ClockReading } from './disagreement.ts';
import { listInstances, readClockAlarm, writeClockAlarm, type ClockAlarm, type Instance } from './register.ts';

/** The database's clock among the others. */
export const DATABASE = 'database';
/** A contradiction is over when none was found for this long: one on the verge must not be told again and again. */
const OVER_AFTER_MS = 30_000;

export interface ClockVerdict {
  readonly alarm: ClockAlarm;
  /** Told once at the beginning and once at the end. */
  readonly notices: readonly Notice[];
}

/** What follows from the clocks as they were found. */
export function judgeClocks(before: ClockAlarm, readings: readonly ClockReading[], now: WallMs): ClockVerdict {
  const named = contradicting(readings);
  if (named.length > 0) {
    const alarm = { since: before.since ?? now, lastAt: now, named };
    const clocks = readings.map(({ name, ...figures }) => ({ name, ...figures, disagrees: named.includes(name) }));
    return { alarm, notices: before.since === null ? [noticeOf('cloud.clock-disagrees', now, { named, clocks })] : [] };
  }
  // A last time ahead of now comes from before the database's clock was set back.
  const isFresh = before.lastAt !== null && Math.abs(now - before.lastAt) < OVER_AFTER_MS;
  if (before.since === null || isFresh) return { alarm: before, notices: [] };
  const data = { named: before.named, since: toInstant(before.since) };
  return { alarm: { since: null, lastAt: null, named: [] }, notices: [noticeOf('cloud.clock-agrees', now, data)] };
}

const noticeOf = (type: Notice['type'], occurredAt: WallMs, data: Notice['data']): Notice => ({
  type,
  occurredAt,
  deviceId: null,
  customerId: null,
  data,
});

/**
 * Compares the clocks of all instances with each other and with the database's. Everything it changes commits together.
 * @param databaseErrorMs how wrong the database's clock can be: nobody can ask it
 * @returns what was told
 */
export function watchClocks(store: Store, now: WallMs, databaseErrorMs: number): Promise<readonly Notice[]> {
  return store.transaction(async (sql) => {
    const before = await readClockAlarm(sql);
    const { alarm, notices } = judgeClocks(before, await readingsOf(sql, databaseErrorMs), now);
    if (alarm !== before) await writeClockAlarm(sql, alarm);
    await addNotices(sql, notices);
    return notices;
  });
}

async function readingsOf(sql: Sql, databaseErrorMs: number): Promise<ClockReading[]> {
  const alive = (await listInstances(sql)).filter(({ isAlive }) => isAlive);
  return [{ name: DATABASE, lowMs: 0, highMs: 0, errorMs: databaseErrorMs }, ...alive.map(readingOf)];
}

const readingOf = ({ instanceId, clock }: Instance): ClockReading => ({
  name: instanceId,
  ...clock.offset,
  errorMs: clock.errorMs,
});
