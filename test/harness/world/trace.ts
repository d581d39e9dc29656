import type { ReportLine, TraceLine } from '@paddock/cloud/clock/replay-trace.ts';

/** What really was, beside the trace and never inside it. Ms since 1970, real-valued. */
export interface Truth {
  /** When the report's state was taken. */
  readonly at: number;
  /** When each of the line's changes was, in the same order. */
  readonly changes: readonly number[];
}

/** One line that reaches the cloud, in order of arrival, with what only the world knows. */
export interface WorldLine {
  readonly line: TraceLine;
  /** Of a report; null for a request for the time. */
  readonly truth: Truth | null;
  /** The true moment of arrival. */
  readonly arrivedAt: number;
  /** The true moment when this copy was handed to the connection. */
  readonly handedAt: number;
  /** How often the assumptions were broken in this line's boot so far: a jump, a suspend, a lie, a cloud set wrong. */
  readonly broken: number;
}

export type Exchange = NonNullable<ReportLine['exchanges']>[number];
