import type { Report } from '@paddock/shared/report.ts';
import type { TimeInterval } from '@paddock/shared/time.ts';
import type { ClockRecord } from '../clock/clock.ts';
import { CLOCK_FAULTS, STEP_MS, type ClockFault } from '../clock/evidence.ts';
import { EMPTY_REGION, STEADY_WANDER } from '../clock/region.ts';

/** What was noticed of a clock, in words. */
export interface FaultView {
  readonly code: ClockFault;
  readonly title: string;
}

/** How fast a device counts time, and what its wall clock did, in one boot or between two suspends of it. */
export interface RateView {
  /** By how much its uptime runs fast, in ppm. Null until exchanges have taught it. */
  readonly driftPpm: { readonly lowest: number; readonly highest: number } | null;
  /** How far its momentary rate may lie from that, in ppm: 15 for a crystal. */
  readonly wanderPpm: number;
  /** How often the wall clock was set, or jumped. */
  readonly steps: number;
  /** By how much it was set last; positive: ahead. */
  readonly lastStepMs: number | null;
  /** How many reports contradicted what was known of the clock. */
  readonly contradictions: number;
  readonly faults: readonly FaultView[];
}

/** The clock of a device's newest report. */
export interface ClockView extends RateView {
  /** By how much the wall clock is ahead of true time; null when it said nothing that could be checked. */
  readonly skewMs: number | null;
  /** How wrong that can be; null when nothing bounds the report from below: the skew is then no less. */
  readonly skewErrorMs: number | null;
  /** The wall clock was more than an hour wrong when the boot began: its battery may be empty. */
  readonly wrongAtBoot: boolean;
  /** It wanders more than a crystal does. */
  readonly unsteady: boolean;
  /** How old the newest exchange was that still bounds the clock; null when there was none in this boot. */
  readonly lastExchangeAgeMs: number | null;
}

export function rateView({ era, wall, contradictions }: ClockRecord, faults: readonly ClockFault[]): RateView {
  const { rate, wander } = era.region;
  const isLearned = rate[0] > EMPTY_REGION.rate[0] && rate[1] < EMPTY_REGION.rate[1];
  return {
    driftPpm: !isLearned ? null : { lowest: roundDown(-rate[1] * 1e6), highest: -roundDown(rate[0] * 1e6) },
    wanderPpm: Math.round(wander * 1e6),
    steps: wall?.steps ?? 0,
    lastStepMs: wall?.lastStepMs ?? null,
    contradictions,
    faults: faults.map((code) => ({ code, title: CLOCK_FAULTS[code] })),
  };
}

/** @param placed where the newest report stands in time */
export function clockView(
  record: ClockRecord,
  faults: readonly ClockFault[],
  { wallMs, uptimeMs }: Pick<Report, 'wallMs' | 'uptimeMs'>,
  placed: TimeInterval,
): ClockView {
  return {
    ...skewOf(wallMs, placed),
    ...rateView(record, faults),
    wrongAtBoot: faults.includes('wall_wrong_at_boot'),
    unsteady: record.era.region.wander > STEADY_WANDER,
    lastExchangeAgeMs: lastExchangeAge(record, uptimeMs),
  };
}

/** A report that was placed by this very clock says nothing about it. */
function skewOf(wall: number | undefined, placed: TimeInterval): Pick<ClockView, 'skewMs' | 'skewErrorMs'> {
  const { earliest, latest, estimate, basis } = placed;
  if (wall === undefined || basis === 'device-clock') return { skewMs: null, skewErrorMs: null };
  const skewErrorMs = earliest === null ? null : Math.ceil((latest - earliest) / 2) + STEP_MS;
  return { skewMs: Math.round(wall - estimate), skewErrorMs };
}

function lastExchangeAge({ era, before }: ClockRecord, uptimeMs: number): number | null {
  const uptimes = [era, before].flatMap((known) => known?.region.lower.map((bound) => bound.uptimeMs) ?? []);
  return uptimes.length === 0 ? null : Math.max(0, uptimeMs - Math.max(...uptimes));
}

const roundDown = (ppm: number): number => Math.floor(ppm * 10) / 10;
