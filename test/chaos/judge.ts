import { isDeepStrictEqual } from 'node:util';
import type { Archived, Database } from './archive.ts';
import { holds, judgeChanges, type ChangeFigures } from './judge-changes.ts';
import { placeOf } from './kiosk.ts';
import type { Told } from './tap.ts';

/** Everything that is known of one kiosk after a run, from both sides and from between them. */
export interface Evidence {
  readonly device: string;
  /** Swipes that were written to the serial line, numbered from 1. */
  readonly swipes: number;
  /** Places of what the agent said was on its disk. */
  readonly kept: Readonly<Record<'events' | 'routine', readonly string[]>>;
  readonly told: Pick<Told, 'recorded' | 'refused' | 'broken'>;
  readonly database: Database;
  /** The agent's own record after its last goodbye. */
  readonly own: { readonly incarnation: string; readonly start: number; readonly uncovered: readonly string[] };
  /** The starts that the agent told of, in their order, and how often its process was started. */
  readonly agent: { readonly starts: readonly number[]; readonly lives: number };
}

export interface Verdict {
  readonly events: Readonly<Record<'sent' | 'accepted' | 'recorded' | 'lost' | 'repeated' | 'neverAccepted', number>>;
  readonly reports: Readonly<Record<'recorded' | 'toldRecorded' | 'lost' | 'repeated', number>>;
  /** Routine reports that reached the disk because nobody answered. */
  readonly spilled: Readonly<Record<'kept' | 'lost', number>>;
  /** Intervals of time, those that do not hold the true moment, and those that nothing bounds from below. */
  readonly intervals: Readonly<Record<'judged' | 'false' | 'open', number>>;
  readonly changes: Readonly<ChangeFigures>;
  /** What must not be, in words; empty when all is well. */
  readonly findings: readonly string[];
}

/** Judges a run: every kiosk by itself, and their figures together. Nothing here asks the code under test what is right. */
export function judge(kiosks: readonly Evidence[]): Verdict {
  const verdicts = kiosks.map((evidence) => judgeKiosk(evidence));
  const sum = <K extends string>(figures: readonly Readonly<Record<K, number>>[]): Record<K, number> => {
    const total: Partial<Record<K, number>> = {};
    for (const row of figures) for (const name of Object.keys(row) as K[]) total[name] = (total[name] ?? 0) + row[name];
    return total as Record<K, number>;
  };
  return {
    events: sum(verdicts.map(({ events }) => events)),
    reports: sum(verdicts.map(({ reports }) => reports)),
    spilled: sum(verdicts.map(({ spilled }) => spilled)),
    intervals: sum(verdicts.map(({ intervals }) => intervals)),
    changes: sum(verdicts.map(({ changes }) => changes)),
    findings: verdicts.flatMap(({ findings }, n) => findings.map((finding) => `${kiosks[n]?.device}: ${finding}`)),
  };
}

function judgeKiosk(evidence: Evidence): Verdict {
  const { database, told, own } = evidence;
  const places = counted(database.archive.map(placeOf));
  const numbers = counted(database.archive.flatMap((row) => numberOf(row) ?? []));
  const absent = (wanted: Iterable<string>): string[] => [...new Set(wanted)].filter((place) => !places.has(place));
  const lostEvents = absent(evidence.kept.events);
  const lostReports = absent(told.recorded);
  const lostSpilled = absent(evidence.kept.routine);
  const repeatedReports = [...places].filter(([, times]) => times > 1).map(([place]) => place);
  const repeatedEvents = [...numbers].filter(([, times]) => times > 1).map(([number]) => number);
  const uncovered = absent(own.uncovered);
  const changes = judgeChanges(database);
  const untrue = database.archive.filter((row) => !holdsTruth(row));
  return {
    events: {
      sent: evidence.swipes,
      accepted: new Set(evidence.kept.events).size,
      recorded: numbers.size,
      lost: lostEvents.length,
      repeated: repeatedEvents.length,
      neverAccepted: evidence.swipes - numbers.size,
    },
    reports: {
      recorded: places.size,
      toldRecorded: told.recorded.size,
      lost: lostReports.length,
      repeated: repeatedReports.length,
    },
    spilled: { kept: new Set(evidence.kept.routine).size, lost: lostSpilled.length },
    intervals: {
      judged: database.archive.length,
      false: untrue.length,
      open: database.archive.filter(({ earliest }) => earliest === null).length,
    },
    changes: changes.figures,
    findings: [
      ...changes.findings.flatMap(([what, found]) => listed(what, found)),
      ...listed('Events on the disk of the agent and not in the archive', lostEvents),
      ...listed('Routine reports on the disk of the agent and not in the archive', lostSpilled),
      ...listed('Reports that an answer called recorded and that are not in the archive', lostReports),
      ...listed('Reports that are in the archive more than once', repeatedReports),
      ...listed('Swipes that are in the archive more than once', repeatedEvents),
      ...listed('Events that wait for an answer and are not in the archive', uncovered),
      ...listed('Reports that an answer refused', told.refused),
      ...listed('Answers that do not verify', told.broken),
      ...listed('Messages that the cloud refused', database.rejections),
      ...listed('Swipes that are left out in the middle of a start', gaps(database.archive)),
      ...listed('Intervals that do not hold the true moment', untrue.map(placeOf)),
      ...judgeArchive(database, evidence.swipes),
      ...judgeStarts(evidence),
    ],
  };
}

const holdsTruth = (row: Archived): boolean => row.report?.wallMs === undefined || holds(row, row.report.wallMs);

/** A card swipe's number, as the hardware gave it. */
function numberOf({ report }: Archived): number | undefined {
  if (report?.trigger.kind !== 'event') return undefined;
  return Number(report.trigger.data?.['number']);
}

function counted<T>(values: Iterable<T>): Map<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

const listed = (what: string, found: readonly unknown[]): string[] =>
  found.length === 0 ? [] : [`${what}: ${found.slice(0, 10).join(', ')} (${found.length})`];

const inOrder = (a: Archived, b: Archived): number =>
  a.ordinal - b.ordinal || a.start - b.start || a.sequence - b.sequence;

/** A start of the agent takes swipes as they come: only its death may end the row, nothing may leave a hole in it. */
function gaps(archive: readonly Archived[]): number[] {
  const last = new Map<string, number>();
  const missing: number[] = [];
  for (const row of archive.toSorted(inOrder)) {
    const number = numberOf(row);
    if (number === undefined) continue;
    const before = last.get(`${row.incarnation}/${row.start}`);
    for (let gap = (before ?? number) + 1; gap < number; gap += 1) missing.push(gap);
    last.set(`${row.incarnation}/${row.start}`, number);
  }
  return missing;
}

function judgeArchive({ archive, starts, state }: Database, swipes: number): string[] {
  const findings = listed(
    'Envelopes that do not verify, or say something else than their row',
    archive.filter(({ report }) => report === null).map(placeOf),
  );
  const strange = archive.map(numberOf).filter((number) => number !== undefined && !(number >= 1 && number <= swipes));
  findings.push(...listed('Swipes that never happened', strange));
  const inRanges = starts.flatMap(({ incarnation, start, recorded }) =>
    recorded.flatMap(([first, last]) =>
      Array.from({ length: last - first + 1 }, (_, index) => placeOf({ incarnation, start, sequence: first + index })),
    ),
  );
  const inArchive = new Set(archive.map(placeOf));
  if (inRanges.length !== inArchive.size || inRanges.some((place) => !inArchive.has(place)))
    findings.push(`The recorded ranges name ${inRanges.length} reports, the archive holds ${inArchive.size}`);
  const newest = archive.toSorted(inOrder).at(-1);
  if (newest === undefined || state === null) return [...findings, 'There is no report, or no last known state'];
  if (placeOf(newest) !== placeOf(state) || newest.digest !== state.digest)
    findings.push(`The last known state is ${placeOf(state)}, the newest report ${placeOf(newest)}`);
  else if (!isDeepStrictEqual(newest.report, state.report))
    findings.push('The last known state says something else than the newest report');
  return findings;
}

/** A process that is killed at once may not get as far as a start; none may ever count the same start again. */
function judgeStarts({ database, own, agent }: Evidence): string[] {
  const findings: string[] = [];
  if (agent.starts.some((start, index) => start <= (agent.starts[index - 1] ?? 0)))
    findings.push(`The starts of the agent do not grow: ${agent.starts.join(', ')}`);
  if (own.start !== agent.starts.at(-1) || own.start > agent.lives)
    findings.push(`The agent counted ${own.start} starts in ${agent.lives} lives, and told of ${agent.starts.at(-1)}`);
  if (database.incarnations !== 1) findings.push(`The device had ${database.incarnations} incarnations`);
  const beyond = database.starts.filter(
    ({ incarnation, start }) => incarnation !== own.incarnation || start > own.start,
  );
  return [
    ...findings,
    ...listed(
      'Starts that the agent never had',
      beyond.map(({ start }) => start),
    ),
  ];
}
