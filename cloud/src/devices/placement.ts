import { toInstant, wallMs, type Basis, type TimeInterval } from '@paddock/shared/time.ts';
import { DeviceLife } from '../clock/life.ts';
import { unpackClock, type PackedClock } from '../clock/packed.ts';

/** An interval as the API shows it. */
export interface TimeView {
  readonly earliest: string | null;
  readonly latest: string;
  readonly estimate: string;
  readonly basis: Basis;
}

/** What a row knows of a report's time: as it was on arrival, and what the boot's row knows since. */
export interface PlacedRow {
  readonly received_at: Date;
  readonly uptime_ms: number;
  readonly segment: number;
  readonly earliest: Date | null;
  readonly latest: Date;
  readonly basis: Basis;
  readonly clock: PackedClock | null;
}

/** Columns that {@link PlacedRow} needs of a clock, joined as `c`. */
export const CLOCK_COLUMNS = 'c.record AS clock';

/**
 * A report's place in time by all that is known now.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 */
export function timeOf(row: PlacedRow, cloudErrorMs: number): TimeView {
  const { uptime_ms, segment, received_at, clock } = row;
  const latest = wallMs(row.latest.getTime());
  const earliest = row.earliest === null ? null : wallMs(row.earliest.getTime());
  const estimate = earliest === null ? latest : wallMs((earliest + latest) / 2);
  const placed = { earliest, latest, estimate, basis: row.basis };
  const life = new DeviceLife(clock ? [{ bootId: '', segment, record: unpackClock(clock), closed: [] }] : []);
  const arrivedBy = wallMs(received_at.getTime() + 1 + cloudErrorMs);
  return view(life.place({ bootId: '', segment, uptimeMs: uptime_ms, arrivedBy, placed }));
}

function view({ earliest, latest, estimate, basis }: TimeInterval): TimeView {
  const atLeast = earliest === null ? null : toInstant(wallMs(Math.floor(earliest)));
  return { earliest: atLeast, latest: toInstant(wallMs(Math.ceil(latest))), estimate: toInstant(estimate), basis };
}
