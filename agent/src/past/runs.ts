import type { UptimeMs } from '@paddock/shared/time.ts';
import type { EntryKind, More } from './entry.ts';
import type { Kept } from './recorder.ts';

/** What the recorder has of the start before. */
export interface PastRun {
  readonly start: number;
  /** The whole id of its boot; only the beginning of it, where what it began with is not there any more. */
  readonly bootId: string;
  readonly segment: number;
  readonly begunAt: UptimeMs | null;
  /** Its last sign of life. */
  readonly lastAt: UptimeMs;
  /** What it began with: the version, the process, counts. */
  readonly began: More;
  /** How it ended, in its own words; null where it has none. */
  readonly end: Kept | null;
  /** That it began to stop, and why; null where it did not. */
  readonly stopping: Kept | null;
  /** All of it that is left, oldest first. */
  readonly entries: readonly Kept[];
}

/** Why an agent stops in good order, as it writes it down for its next start. */
export interface EndWord {
  /**
   * - clean: it was told to by its machine, such as by a signal
   * - update: the agent of another release takes over, or the machine is started again for one
   * - command: an operator ended it, through the cloud
   */
  readonly how: 'clean' | 'update' | 'command';
  /** The release; what the operator did. */
  readonly detail?: string;
  /** Whether the machine was being shut down then; absent where nobody says so. */
  readonly goesDown?: boolean;
}

const ENDS: readonly EntryKind[] = ['end', 'error'];
/** What is noted when the agent begins to stop; its end comes behind it. */
export const STOPPING = 'The agent stops';

/** The newest start that wrote anything down; null where there is none. */
export function lastRun(entries: readonly Kept[]): PastRun | null {
  const last = entries.at(-1);
  if (last === undefined) return null;
  const its = entries.filter(({ start, boot }) => start === last.start && boot === last.boot);
  const begin = its.find(({ kind }) => kind === 'begin');
  const bootId = begin?.more['boot'];
  return {
    start: last.start,
    bootId: typeof bootId === 'string' ? bootId : last.boot,
    segment: last.segment,
    begunAt: begin?.at ?? null,
    lastAt: last.at,
    began: begin?.more ?? {},
    end: its.findLast(({ kind }) => ENDS.includes(kind)) ?? null,
    stopping: its.findLast(({ what }) => what === STOPPING) ?? null,
    entries: its,
  };
}
