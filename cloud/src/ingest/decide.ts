import type { Rejection } from '@paddock/shared/answer.ts';
import type { TimeInterval } from '@paddock/shared/time.ts';
import { intervalOf, tighten } from '../clock/bounds.ts';
import type { AuthenticReport } from './authenticate.ts';
import { bootKey, identityKey, startKeyOf, type BootEntry, type Ledger, type StartEntry } from './ledger.ts';
import { isAfter, orderReport, type Place, type Verdict } from './order.ts';
import { withSequences } from './ranges.ts';

/** What becomes of one report of a batch. */
export interface Outcome {
  readonly message: AuthenticReport;
  readonly verdict: Verdict;
}

/** A report to be recorded, with its place in the device's order and in time. */
export interface PlacedReport {
  readonly message: AuthenticReport;
  readonly place: Place;
  readonly interval: TimeInterval;
}

/** Everything that recording a batch will change. */
export interface Decision {
  readonly outcomes: readonly Outcome[];
  readonly reports: readonly PlacedReport[];
  /** The newest new report of each device: what its last known state may become. */
  readonly newest: readonly PlacedReport[];
  readonly starts: ReadonlyMap<string, StartEntry>;
  readonly boots: ReadonlyMap<string, BootEntry>;
}

/** Answers name the newest refusals of a start; older ones were named before. */
const MAX_REJECTIONS = 32;

/**
 * Orders and reconciles a batch: second and third step of ingest, without any I/O.
 * @param cloudErrorMs how wrong the cloud's own clock can be
 */
export function decide(batch: readonly AuthenticReport[], ledger: Ledger, cloudErrorMs: number): Decision {
  const starts = new Map(ledger.starts);
  const boots = new Map(ledger.boots);
  const digests = new Map(ledger.digests);
  const outcomes: Outcome[] = [];
  const reports: PlacedReport[] = [];
  for (const message of inOrder(batch, starts)) {
    const key = startKeyOf(message);
    const start = starts.get(key);
    if (start === undefined) throw new Error(`The ledger lacks the start ${key}`);
    const place = placeOf(message, start);
    const boot = boots.get(bootKey(message.deviceId, message.report.boot.id)) ?? null;
    const recorded = digests.get(identityKey(message)) ?? null;
    const verdict = orderReport(message, place, start, boot?.newest ?? null, recorded);
    outcomes.push({ message, verdict });
    if (verdict.kind === 'refused') starts.set(key, withRejection(start, rejectionOf(message, verdict.code)));
    if (verdict.kind !== 'new') continue;
    const next = advance(boot, message, place, cloudErrorMs);
    starts.set(key, { ...start, recorded: withSequences(start.recorded, [message.report.sequence]) });
    boots.set(bootKey(message.deviceId, message.report.boot.id), next);
    digests.set(identityKey(message), message.digest);
    reports.push({ message, place, interval: intervalOf(next.anchor, arrivalOf(message), cloudErrorMs) });
  }
  return { outcomes, reports, newest: newestOfEach(reports), starts, boots };
}

const placeOf = ({ report }: AuthenticReport, { ordinal }: StartEntry): Place => ({
  ordinal,
  start: report.start,
  sequence: report.sequence,
});

const arrivalOf = ({ report, receivedAt }: AuthenticReport) => ({
  uptimeMs: report.uptimeMs,
  segment: report.segment ?? 0,
  receivedAt,
});

/** By device and place, so that what a batch holds of a start is judged in the device's own order. */
function inOrder(batch: readonly AuthenticReport[], starts: ReadonlyMap<string, StartEntry>): AuthenticReport[] {
  const ordinal = (message: AuthenticReport): number => starts.get(startKeyOf(message))?.ordinal ?? 0;
  return batch.toSorted(
    (a, b) =>
      (a.deviceId < b.deviceId ? -1 : a.deviceId > b.deviceId ? 1 : 0) ||
      ordinal(a) - ordinal(b) ||
      a.report.start - b.report.start ||
      a.report.sequence - b.report.sequence,
  );
}

function advance(boot: BootEntry | null, message: AuthenticReport, place: Place, cloudErrorMs: number): BootEntry {
  const isNewest = boot === null || isAfter(place, boot.newest.place);
  return {
    newest: isNewest ? { place, uptimeMs: message.report.uptimeMs } : boot.newest,
    anchor: tighten(boot?.anchor ?? null, arrivalOf(message), cloudErrorMs),
  };
}

const rejectionOf = ({ report, digest }: AuthenticReport, code: string): Rejection => ({
  sequence: report.sequence,
  digest,
  code,
});

function withRejection(start: StartEntry, rejection: Rejection): StartEntry {
  if (start.rejected.some(({ digest }) => digest === rejection.digest)) return start;
  return { ...start, rejected: [...start.rejected, rejection].slice(-MAX_REJECTIONS) };
}

function newestOfEach(reports: readonly PlacedReport[]): PlacedReport[] {
  const newest = new Map<string, PlacedReport>();
  for (const report of reports) {
    const known = newest.get(report.message.deviceId);
    if (known === undefined || isAfter(report.place, known.place)) newest.set(report.message.deviceId, report);
  }
  return [...newest.values()];
}
