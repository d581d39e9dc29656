import type { SequenceRange } from '@paddock/shared/answer.ts';

/** Sorted runs of sequences that neither overlap nor touch; first and last are included. */
export type SequenceRanges = readonly SequenceRange[];

export const contains = (ranges: SequenceRanges, sequence: number): boolean =>
  ranges.some(([first, last]) => first <= sequence && sequence <= last);

/** The ranges with some sequences more, in any order. */
export function withSequences(ranges: SequenceRanges, sequences: readonly number[]): SequenceRanges {
  const runs: SequenceRange[] = [...ranges, ...sequences.map((one): SequenceRange => [one, one])];
  runs.sort(([a], [b]) => a - b);
  const merged: [number, number][] = [];
  for (const [first, last] of runs) {
    const open = merged.at(-1);
    if (open !== undefined && first <= open[1] + 1) open[1] = Math.max(open[1], last);
    else merged.push([first, last]);
  }
  return merged;
}

/** How many sequences the ranges hold. */
export const countOf = (ranges: SequenceRanges): number =>
  ranges.reduce((count, [first, last]) => count + last - first + 1, 0);

/** PostgreSQL's text of an int8multirange: `{[0,5),[7,8)}`. */
export const toMultirange = (ranges: SequenceRanges): string =>
  `{${ranges.map(([first, last]) => `[${first},${last + 1})`).join(',')}}`;

export function fromMultirange(text: string): SequenceRanges {
  return [...text.matchAll(/\[(\d+),(\d+)\)/g)].map(([, first, end]): SequenceRange => [
    Number(first),
    Number(end) - 1,
  ]);
}
