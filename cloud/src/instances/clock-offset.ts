import type { Clock, Sql } from '../ports.ts';

/** This clock less the database's lies in between, in ms. */
export interface Offset {
  readonly lowMs: number;
  readonly highMs: number;
}

/** Wall clocks are read in whole milliseconds, rounded down. */
const STAMP_MS = 1;
const ROUND_TRIPS = 5;

/**
 * Compares this machine's clock with the database's: the database read its own between our asking and its answer
 * (Cristian's method), so the quickest of some round trips says most.
 */
export async function measureOffset(sql: Sql, clock: Clock): Promise<Offset> {
  const measured: Offset[] = [];
  for (let trip = 0; trip < ROUND_TRIPS; trip += 1) measured.push(await roundTrip(sql, clock));
  const [best] = measured.toSorted((a, b) => widthOf(a) - widthOf(b));
  if (best === undefined) throw new Error('No round trip was made');
  return best;
}

/** A clock that was set back meanwhile makes no interval: then the two ends change places, and it is a wide one. */
async function roundTrip(sql: Sql, clock: Clock): Promise<Offset> {
  const asked = clock.wall();
  const [row] = await sql.query<{ ms: number }>(
    'SELECT extract(epoch FROM clock_timestamp())::double precision * 1000 AS ms',
  );
  const answered = clock.wall();
  if (row === undefined) throw new Error('The database did not say what time it is');
  return {
    lowMs: Math.min(asked, answered) - row.ms,
    highMs: Math.max(asked, answered) + STAMP_MS - row.ms,
  };
}

const widthOf = ({ lowMs, highMs }: Offset): number => highMs - lowMs;
