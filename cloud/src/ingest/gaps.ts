import type { Report } from '@paddock/shared/report.ts';
import type { StartEntry } from './ledger.ts';
import { countOf, withSequences } from './ranges.ts';

/** As many runs of sequences as a start keeps: a device that skips every other one must not make a row without end. */
const MOST_RANGES = 1024;

/** The start with one more report: what it records, and what the device's outbox had to drop so far. */
export function recordedIn(start: StartEntry, { sequence, outbox }: Pick<Report, 'sequence' | 'outbox'>): StartEntry {
  return bounded({
    ...start,
    recorded: withSequences(start.recorded, [sequence]),
    droppedRoutine: Math.max(start.droppedRoutine, outbox?.droppedRoutine ?? 0),
    droppedEvents: Math.max(start.droppedEvents, outbox?.droppedEvents ?? 0),
  });
}

/** Gives the oldest holes up: what they miss is counted, and refused should it ever come. */
function bounded(start: StartEntry): StartEntry {
  const { recorded, settledBelow, abandoned } = start;
  if (recorded.length <= MOST_RANGES) return start;
  const settled = recorded.slice(0, recorded.length - MOST_RANGES);
  const kept = recorded.slice(-MOST_RANGES);
  const [first = [settledBelow, settledBelow] as const] = kept;
  const missing = first[0] - settledBelow - countOf(settled);
  return { ...start, recorded: kept, settledBelow: first[0], abandoned: abandoned + missing };
}
