import type { RegisterRequest } from '../ports.ts';
import { requestLimit, sizeOf } from './registers.ts';
import type { RegisterSource } from './settings.ts';

/** A value that a request brings, and where in its answer it stands. */
export interface PlannedRead {
  readonly sensor: string;
  readonly source: RegisterSource;
  readonly offset: number;
  readonly count: number;
}

export interface PlannedRequest extends RegisterRequest {
  readonly reads: readonly PlannedRead[];
}

/**
 * Plans as few requests as possible: neighbours of one unit and table share one. Addresses between
 * two sensors are never read, since a unit may refuse a whole request for one register it does not have.
 */
export function planReads(sensors: ReadonlyMap<string, RegisterSource>): PlannedRequest[] {
  const byPlace = [...sensors].toSorted(
    ([, a], [, b]) => a.unit - b.unit || compare(a.table, b.table) || a.address - b.address,
  );
  const requests: PlannedRequest[] = [];
  for (const [sensor, source] of byPlace) {
    const last = requests.at(-1);
    const joined = last && join(last, sensor, source);
    if (joined) requests[requests.length - 1] = joined;
    else requests.push(alone(sensor, source));
  }
  return requests;
}

/** A request for one value: what is asked when a unit refuses the shared one. */
export function alone(sensor: string, source: RegisterSource): PlannedRequest {
  const count = sizeOf(source);
  const { unit, table, address } = source;
  return { unit, table, address, count, reads: [{ sensor, source, offset: 0, count }] };
}

function join(request: PlannedRequest, sensor: string, source: RegisterSource): PlannedRequest | null {
  const size = sizeOf(source);
  const end = Math.max(request.address + request.count, source.address + size);
  const isNeighbour =
    request.unit === source.unit && request.table === source.table && source.address <= request.address + request.count;
  if (!isNeighbour || end - request.address > requestLimit(request.table)) return null;
  const read = { sensor, source, offset: source.address - request.address, count: size };
  return { ...request, count: end - request.address, reads: [...request.reads, read] };
}

const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));
