import type { Host } from '@paddock/shared/report.ts';
import type { Clock, Machine } from '../ports.ts';

/** Reading /proc takes a millisecond; a file system that hangs takes for ever. */
export const HEALTH_WITHIN_MS = 1_000;

/**
 * The machine's health for a report, or nothing: what the machine cannot tell of itself in time keeps no reading back.
 * While one look hangs, no other is begun, since each of them takes a thread.
 */
export function createHealthReader(machine: Pick<Machine, 'health'>, clock: Pick<Clock, 'sleep'>): () => Promise<Host> {
  let looking = false;
  const look = async (): Promise<Host> => {
    looking = true;
    const health = await machine.health().catch(() => ({}));
    looking = false;
    return health;
  };
  return async () => {
    if (looking) return {};
    const over = new AbortController();
    const late = clock.sleep(HEALTH_WITHIN_MS, over.signal).then(() => ({}));
    const health = await Promise.race([look(), late]);
    over.abort();
    return health;
  };
}
