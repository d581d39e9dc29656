import type { Clock, Log, Metrics, Store } from '../ports.ts';
import { measureOffset } from './clock-offset.ts';
import { DATABASE } from './clock-watch.ts';
import { ErrorHistory } from './error-history.ts';
import type { OwnClock } from './own-clock.ts';
import { listInstances, readClockAlarm, sayAlive, sayGone, type Identity } from './register.ts';

export interface MemberParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly ownClock: OwnClock;
  readonly metrics: Metrics;
  readonly log: Log;
  readonly identity: Identity;
  /** How wrong a clock can be of which nothing is known, in ms. */
  readonly configuredErrorMs: number;
}

export interface Member {
  /** Measures this clock, says that this instance is alive, and hears what was found of all clocks. */
  round(): Promise<void>;
  run(signal: AbortSignal): Promise<void>;
  /** Whether this clock contradicts the others'; what does, in words, otherwise null. */
  readonly disagreement: string | null;
  /** Of this instance's clock and the others', as they said last. */
  readonly errors: ErrorHistory;
}

const ROUND_MS = 10_000;
/** A step of the clock is noticed within this, though no message comes. */
const LOOK_MS = 1_000;

/** One instance among others: its row, its clock's figures, and its own view of the alarm. */
export function createMember(parts: MemberParts): Member {
  const { store, clock, ownClock, metrics, log, identity, configuredErrorMs } = parts;
  let disagreement: string | null = null;
  let fleetErrorMs = 0;
  const errors = new ErrorHistory({
    clock,
    ownClock,
    fleetErrorMs: () => fleetErrorMs,
    configuredMs: configuredErrorMs,
  });

  async function round(): Promise<void> {
    const offset = await measureOffset(store, clock);
    const errorMs = ownClock.errorMs();
    await sayAlive(store, identity, { errorMs, source: ownClock.source, offset, steps: ownClock.steps });
    const { named } = await readClockAlarm(store);
    disagreement = wordsOf(named, identity.instanceId);
    metrics.gauge('paddock_clock_disagrees', named.includes(identity.instanceId) ? 1 : 0);
    const alive = (await listInstances(store)).filter(({ isAlive }) => isAlive);
    fleetErrorMs = Math.max(0, ...alive.map((instance) => instance.clock.errorMs));
    metrics.gauge('paddock_instances', alive.length);
  }

  async function watchOwnClock(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      errors.now();
      metrics.gauge('paddock_clock_error_seconds', ownClock.errorMs() / 1000);
      metrics.gauge('paddock_clock_synchronized', ownClock.source === 'kernel' ? 1 : 0);
      await clock.sleep(LOOK_MS, signal);
    }
  }

  async function stayRegistered(signal: AbortSignal): Promise<void> {
    let failing = false;
    while (!signal.aborted) {
      // Told once, or a database that is away would fill the log.
      const failed = await round().then(
        () => false,
        (error: unknown) => {
          if (!failing) log.warn({ err: error }, 'This instance cannot say that it runs; trying until it can');
          return true;
        },
      );
      failing = failed;
      await clock.sleep(ROUND_MS, signal);
    }
    // A database that is away forgets it later by itself.
    await sayGone(store, identity.instanceId).catch(() => undefined);
  }

  return {
    round,
    run: async (signal) => void (await Promise.all([watchOwnClock(signal), stayRegistered(signal)])),
    get disagreement() {
      return disagreement;
    },
    errors,
  };
}

function wordsOf(named: readonly string[], instanceId: string): string | null {
  if (named.includes(instanceId)) return "this instance's clock contradicts the others";
  return named.includes(DATABASE) ? "the database's clock contradicts the instances'" : null;
}
