import { fromInstant, toInstant, wallMs, type Basis, type TimeInterval, type WallMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/life.ts';

/** An interval as the API shows it. */
export interface TimeView {
  readonly earliest: string | null;
  readonly latest: string;
  readonly estimate: string;
  readonly basis: Basis;
}

/** What a row keeps of a moment: where it stands on its clock, and where it was placed on arrival. */
export interface PlacedRow {
  readonly received_at: Date;
  readonly boot_id: string;
  readonly segment: number;
  readonly uptime_ms: number;
  readonly earliest: Date | null;
  readonly latest: Date;
  readonly basis: Basis;
}

/**
 * A row's moment: it is placed by all that is known now, and no worse than it was placed on arrival.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 */
export const momentOf = (row: PlacedRow, cloudErrorMs: number): Moment => ({
  bootId: row.boot_id,
  segment: row.segment,
  uptimeMs: row.uptime_ms,
  arrivedBy: arrivedBy(row, cloudErrorMs),
  placed: placedThen(row),
});

/** What arrival alone proves. The row says it with the error that the cloud's clock had then, where it says it at all. */
function arrivedBy({ received_at, latest, basis }: PlacedRow, cloudErrorMs: number): WallMs {
  if (basis === 'arrival') return wallMs(latest.getTime());
  return wallMs(Math.max(received_at.getTime() + 1 + cloudErrorMs, latest.getTime()));
}

function placedThen({ basis, ...row }: PlacedRow): TimeInterval {
  const latest = wallMs(row.latest.getTime());
  const earliest = row.earliest === null ? null : wallMs(row.earliest.getTime());
  return { earliest, latest, estimate: earliest === null ? latest : wallMs((earliest + latest) / 2), basis };
}

/** What RFC 3339 and PostgreSQL both can write; the uptime of a broken device leads anywhere. */
const FIRST_MS = fromInstant('0001-01-01T00:00:00.000Z');
const LAST_MS = fromInstant('9999-12-31T23:59:59.999Z');

/** In whole ms, rounded outwards. */
export function timeView({ earliest, latest, estimate, basis }: TimeInterval): TimeView {
  return {
    earliest: earliest === null || earliest < FIRST_MS ? null : instantOf(Math.floor(earliest)),
    latest: instantOf(Math.ceil(latest)),
    estimate: instantOf(Math.round(estimate)),
    basis,
  };
}

const instantOf = (ms: number): string => toInstant(wallMs(Math.min(Math.max(ms, FIRST_MS), LAST_MS)));
