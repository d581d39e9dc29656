import { toInstant, wallMs, type Basis, type TimeInterval } from '@paddock/shared/time.ts';
import { intervalOf } from '../clock/bounds.ts';

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
  readonly anchor_uptime_ms: number | null;
  readonly anchor_segment: number | null;
  readonly anchor_latest: Date | null;
}

/** Columns that {@link PlacedRow} needs of a boot, joined as `b`. */
export const BOOT_COLUMNS = 'b.anchor_uptime_ms, b.anchor_segment, b.anchor_latest';

/**
 * A report's place in time by all that is known now. Bounds only tighten: where the boot knows no better,
 * the interval stays what it was on arrival.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 */
export function timeOf(row: PlacedRow, cloudErrorMs: number): TimeView {
  const known = intervalOf(anchorOf(row), arrivalOf(row), cloudErrorMs);
  if (known.latest < row.latest.getTime()) return view(known);
  const latest = wallMs(row.latest.getTime());
  const earliest = row.earliest === null ? null : wallMs(row.earliest.getTime());
  return view({ earliest, latest, estimate: latest, basis: row.basis });
}

const arrivalOf = ({ uptime_ms, segment, received_at }: PlacedRow) => ({
  uptimeMs: uptime_ms,
  segment,
  receivedAt: wallMs(received_at.getTime()),
});

function anchorOf({ anchor_uptime_ms, anchor_segment, anchor_latest }: PlacedRow) {
  if (anchor_uptime_ms === null || anchor_segment === null || anchor_latest === null) return null;
  return { uptimeMs: anchor_uptime_ms, segment: anchor_segment, latest: wallMs(anchor_latest.getTime()) };
}

function view({ earliest, latest, estimate, basis }: TimeInterval): TimeView {
  const atLeast = earliest === null ? null : toInstant(earliest);
  return { earliest: atLeast, latest: toInstant(latest), estimate: toInstant(estimate), basis };
}
