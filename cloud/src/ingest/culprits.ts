import type { AuthenticReport } from './authenticate.ts';

type Part = readonly AuthenticReport[];

/**
 * The next parts to try after one failed for its content: its two halves, and between devices rather than through one,
 * so that a device that sends what cannot be stored soon stands alone. Parts of several devices come first: no innocent
 * device waits until another's reports are told apart.
 */
export function tryNext(failed: Part, others: readonly Part[]): Part[] {
  const halves = halve(failed);
  const isMixed = (part: Part): boolean => part[0]?.deviceId !== part.at(-1)?.deviceId;
  return [...halves.filter(isMixed), ...others, ...halves.filter((part) => !isMixed(part))];
}

/** Sorted by device, and cut where a device ends, as close to the middle as that allows. */
function halve(batch: Part): [Part, Part] {
  const sorted = batch.toSorted((a, b) => (a.deviceId < b.deviceId ? -1 : a.deviceId > b.deviceId ? 1 : 0));
  const middle = sorted.length >> 1;
  const isCut = (at: number): boolean => sorted[at - 1]?.deviceId !== sorted[at]?.deviceId;
  const cuts = sorted.map((_, at) => at).filter((at) => at > 0 && isCut(at));
  const nearest = cuts.reduce<number | null>(
    (best, at) => (best === null || Math.abs(at - middle) < Math.abs(best - middle) ? at : best),
    null,
  );
  return [sorted.slice(0, nearest ?? middle), sorted.slice(nearest ?? middle)];
}
