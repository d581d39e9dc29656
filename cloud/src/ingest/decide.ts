import type { Rejection } from '@paddock/shared/answer.ts';
import type { ErrorAt } from '../ports.ts';
import type { AuthenticReport } from './authenticate.ts';
import { bootKeyOf, identityKey, startKeyOf, type BootEntry, type Ledger, type StartEntry } from './ledger.ts';
import { isAfter, orderReport, type Newest, type Place, type Verdict } from './order.ts';
import { recordedIn } from './gaps.ts';
import { BatchClocks, type OrderedReport, type PlacedReport } from './reconcile.ts';

/** What becomes of one report of a batch. */
export interface Outcome {
  readonly message: AuthenticReport;
  readonly verdict: Verdict;
}

/** Everything that recording a batch will change. */
export interface Decision {
  readonly outcomes: readonly Outcome[];
  readonly reports: readonly PlacedReport[];
  /** The newest new report of each device: what its last known state may become. */
  readonly newest: readonly PlacedReport[];
  readonly starts: ReadonlyMap<string, StartEntry>;
  readonly boots: ReadonlyMap<string, BootEntry>;
  readonly clocks: Pick<BatchClocks, 'news' | 'closed' | 'alarms' | 'faults'>;
}

/** Answers name the newest refusals of a start; older ones were named before. */
const MAX_REJECTIONS = 32;

/** Orders and reconciles a batch: second and third step of ingest, without any I/O. */
export function decide(batch: readonly AuthenticReport[], ledger: Ledger, errorAt: ErrorAt): Decision {
  const starts = new Map(ledger.starts);
  const boots = new Map(ledger.boots);
  const digests = new Map(ledger.digests);
  const outcomes: Outcome[] = [];
  const clocks = new BatchClocks(ledger.clocks, errorAt);
  const recorded: OrderedReport[] = [];
  for (const message of inOrder(batch, starts)) {
    const key = startKeyOf(message);
    const start = starts.get(key);
    if (start === undefined) throw new Error(`The ledger lacks the start ${key}`);
    const place = placeOf(message, start);
    const newest = boots.get(bootKeyOf(message))?.newest ?? null;
    const digest = digests.get(identityKey(message)) ?? null;
    const verdict = orderReport(message, place, start, newest, digest);
    outcomes.push({ message, verdict });
    if (verdict.kind === 'refused') starts.set(key, withRejection(start, rejectionOf(message, verdict.code)));
    if (verdict.kind !== 'new') continue;
    const isBelieved = clocks.observe({ message, place });
    starts.set(key, recordedIn(start, message.report));
    boots.set(bootKeyOf(message), { newest: advanced(newest, message, place, isBelieved) });
    digests.set(identityKey(message), message.digest);
    recorded.push({ message, place });
  }
  const reports = recorded.map((report) => clocks.place(report));
  return { outcomes, reports, newest: newestOfEach(reports), starts, boots, clocks };
}

const placeOf = ({ report }: AuthenticReport, { ordinal }: StartEntry): Place => ({
  ordinal,
  start: report.start,
  sequence: report.sequence,
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

/** An uptime that cannot be believed must not be what later reports are measured by. */
function advanced(newest: Newest | null, { report }: AuthenticReport, place: Place, isBelieved: boolean): Newest {
  if (newest !== null && !isAfter(place, newest.place)) return newest;
  return { place, uptimeMs: isBelieved || newest === null ? report.uptimeMs : newest.uptimeMs };
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
