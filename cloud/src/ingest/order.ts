import type { RefusalCode } from '@paddock/shared/errors.ts';
import type { AuthenticReport } from './authenticate.ts';
import { contains, type SequenceRanges } from './ranges.ts';

/** A place in a device's order: never arrival, never its wall clock. */
export interface Place {
  /** The device's incarnations, counted by the cloud as they appeared. */
  readonly ordinal: number;
  readonly start: number;
  readonly sequence: number;
}

export const isAfter = (a: Place, b: Place): boolean =>
  a.ordinal !== b.ordinal ? a.ordinal > b.ordinal : a.start !== b.start ? a.start > b.start : a.sequence > b.sequence;

/** What is known of the start that a report belongs to. */
export interface KnownStart {
  readonly bootId: string;
  readonly recorded: SequenceRanges;
  /** Below, nothing more is awaited: holes are bounded. */
  readonly settledBelow: number;
}

/** The newest report of a boot, in order. */
export interface Newest {
  readonly place: Place;
  readonly uptimeMs: number;
}

export type Verdict =
  | { readonly kind: 'new' }
  /** Recorded before under the same digest: changes nothing, is answered again. */
  | { readonly kind: 'repeat' }
  | { readonly kind: 'refused'; readonly code: RefusalCode };

const NEW: Verdict = { kind: 'new' };
const REPEAT: Verdict = { kind: 'repeat' };
const refused = (code: RefusalCode): Verdict => ({ kind: 'refused', code });

/**
 * Second step of ingest: what a report is to what is recorded already.
 * @param recordedDigest of the report recorded under the same identity; null when retention has dropped it
 */
export function orderReport(
  { report, digest }: Pick<AuthenticReport, 'report' | 'digest'>,
  place: Place,
  start: KnownStart,
  newest: Newest | null,
  recordedDigest: string | null,
): Verdict {
  if (contains(start.recorded, report.sequence))
    return recordedDigest === null || recordedDigest === digest ? REPEAT : refused('identity_conflict');
  if (report.sequence < start.settledBelow) return recordedDigest === digest ? REPEAT : refused('sequence_abandoned');
  if (start.bootId !== report.boot.id) return refused('boot_conflict');
  if (newest !== null && contradicts(place, report.uptimeMs, newest)) return refused('uptime_backwards');
  return NEW;
}

/** Uptime never goes back along the order of one boot. */
function contradicts(place: Place, uptimeMs: number, newest: Newest): boolean {
  return isAfter(place, newest.place) ? uptimeMs < newest.uptimeMs : uptimeMs > newest.uptimeMs;
}
