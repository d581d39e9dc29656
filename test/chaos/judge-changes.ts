import type { Archived, Database, StoredChange } from './archive.ts';

/** The kiosks run on the cloud's own machine, so their wall clock tells the truth; read a moment after the uptime. */
const READ_WITHIN_MS = 5;

/** Whether an interval holds a moment, in ms since 1970. */
export const holds = ({ earliest, latest }: Pick<Archived, 'earliest' | 'latest'>, truth: number): boolean =>
  (earliest?.getTime() ?? -Infinity) - READ_WITHIN_MS <= truth && truth <= latest.getTime() + READ_WITHIN_MS;

/** Changes that recorded reports tell of, those that the database holds, and what is wrong with them. */
export type ChangeFigures = Record<'told' | 'stored' | 'lost' | 'repeated' | 'invented' | 'false', number>;

interface Told {
  readonly uptimeMs: number;
  /** When it was, by the wall clock; null when the report does not say. */
  readonly truthMs: number | null;
}

/**
 * Each change that any recorded report tells of has to be there, once, at its moment; and no other.
 * @returns figures, and what was found by what it is
 */
export function judgeChanges({ archive, changes }: Pick<Database, 'archive' | 'changes'>) {
  const told = toldChanges(archive);
  const stored = Map.groupBy(changes, keyOf);
  const misplaced = changes.filter((change) => !isInPlace(change, told.get(keyOf(change))));
  const found = {
    'Changes that a recorded report tells of and that are not stored': [...told.keys()].filter(
      (key) => !stored.has(key),
    ),
    'Changes that are stored more than once': [...stored].filter(([, rows]) => rows.length > 1).map(([key]) => key),
    'Changes that no recorded report tells of': [...stored.keys()].filter((key) => !told.has(key)),
    'Changes whose moment or interval is not the true one': misplaced.map(keyOf),
  };
  const [lost, repeated, invented, untrue] = Object.values(found).map(({ length }) => length);
  const figures: ChangeFigures = {
    told: told.size,
    stored: changes.length,
    lost: lost ?? 0,
    repeated: repeated ?? 0,
    invented: invented ?? 0,
    false: untrue ?? 0,
  };
  return { figures, findings: Object.entries(found) };
}

const keyOf = ({
  incarnation,
  start,
  sensor,
  changes,
}: Omit<StoredChange, 'uptimeMs' | 'earliest' | 'latest'>): string => `${incarnation}/${start} ${sensor} ${changes}`;

function toldChanges(archive: readonly Archived[]): Map<string, Told> {
  const told = new Map<string, Told>();
  for (const { incarnation, start, report } of archive) {
    for (const [sensor, { changes, changedAgoMs }] of Object.entries(report?.readings ?? {})) {
      if (report === null || !changes || changedAgoMs === null || changedAgoMs === undefined) continue;
      told.set(keyOf({ incarnation, start, sensor, changes }), {
        uptimeMs: report.uptimeMs - changedAgoMs,
        truthMs: report.wallMs === undefined ? null : report.wallMs - changedAgoMs,
      });
    }
  }
  return told;
}

/** A change of which nobody told is found elsewhere. */
function isInPlace(change: StoredChange, told: Told | undefined): boolean {
  if (told === undefined) return true;
  const near = Math.abs(change.uptimeMs - told.uptimeMs) <= READ_WITHIN_MS;
  return near && (told.truthMs === null || holds(change, told.truthMs));
}
