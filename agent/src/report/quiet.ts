import type { Clock } from '../ports.ts';
import type { Reporter } from './reporter.ts';
import type { OutboxStore } from './store.ts';

/** Reports wait meanwhile, those of events too. */
const ANSWERED_WITHIN_MS = 15_000;
const LOOK_EVERY_MS = 50;

export interface QuietParts {
  readonly clock: Clock;
  readonly store: Pick<OutboxStore, 'outbox'>;
  readonly reporter: Pick<Reporter, 'report' | 'hold'>;
  readonly online: () => boolean;
}

/**
 * Does something when no report is left that the cloud has not answered for, and before the next one is made: asks, and
 * lets nothing follow until the answer is there.
 * @returns false when it was not done: there is no connection, or no answer in time, or it did not cover all
 */
export async function whenQuiet(
  { clock, store, reporter, online }: QuietParts,
  work: () => Promise<unknown>,
): Promise<boolean> {
  if (!online()) return false;
  void reporter.report({ kind: 'connect' });
  return reporter.hold(async () => {
    const until = clock.monotonic() + ANSWERED_WITHIN_MS;
    while (online() && store.outbox().waiting > 0 && clock.monotonic() < until) await clock.sleep(LOOK_EVERY_MS);
    if (store.outbox().waiting > 0) return false;
    await work();
    return true;
  });
}
