import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, Link } from '../ports.ts';
import { codeOf, type Log } from './log.ts';
import { endsBatchUnasked, nextDueAt, nextToSend, notSent, sent, type Held, type SealedReport } from './outbox.ts';
import type { OutboxStore } from './store.ts';

/** What is sent again goes at this pace at most, and with so many not acknowledged yet: a live report never waits long. */
const PACE_MS = 20;
const AGAIN_IN_FLIGHT = 8;
const LONGEST_WAIT_MS = 60_000;

export interface PumpParts {
  readonly clock: Clock;
  readonly link: Pick<Link, 'publish'>;
  readonly store: OutboxStore;
  readonly topic: string;
  readonly log: Log;
  /** Whether the connection stands, and whether its opening was answered. */
  readonly connection: () => { readonly online: boolean; readonly opened: boolean };
  /** The reports of this start that were sent again are covered by no ask: a report that asks is needed. */
  readonly batchEnded: () => void;
  readonly origin: Pick<SealedReport, 'incarnation' | 'start'>;
}

export interface Pump {
  /** Looks again at what is to be sent. */
  wake(): void;
  /** Resolves when nothing is on its way to the broker, or when the signal aborts. */
  drained(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Sends what the outbox names, one after the other, and waits when it names nothing. */
export function startPump(parts: PumpParts): Pump {
  const { clock, store } = parts;
  const inFlight = new Set<Promise<void>>();
  let stopped = false;
  let alarm = new AbortController();
  const wake = (): void => {
    alarm.abort();
    alarm = new AbortController();
  };
  const step = (now: UptimeMs): { send: Held } | { waitMs: number } => {
    const { online, opened } = parts.connection();
    if (!online) return { waitMs: LONGEST_WAIT_MS };
    const next = nextToSend(store.outbox(), opened, now);
    if (next && (next.live || inFlight.size < AGAIN_IN_FLIGHT)) return { send: next };
    if (!next && opened && endsBatchUnasked(store.outbox(), parts.origin)) parts.batchEnded();
    const dueAt = opened && !next ? nextDueAt(store.outbox()) : null;
    return { waitMs: dueAt === null ? LONGEST_WAIT_MS : Math.min(LONGEST_WAIT_MS, Math.max(1, dueAt - now)) };
  };
  const send = (report: Held): void => {
    // The segment first: after a suspend in between, the answer's segment differs from it, and nothing is concluded.
    const segment = clock.segment();
    store.change((outbox) => sent(outbox, report.digest, clock.monotonic(), segment));
    const done: Promise<void> = publish(parts, report).then(() => {
      inFlight.delete(done);
      wake();
    });
    inFlight.add(done);
  };
  const run = async (): Promise<void> => {
    while (!stopped) {
      const { signal } = alarm;
      const next = step(clock.monotonic());
      if ('send' in next) send(next.send);
      if ('waitMs' in next) await clock.sleep(next.waitMs, signal);
      else if (!next.send.live) await clock.sleep(PACE_MS);
    }
  };
  const running = run();
  return {
    wake,
    async drained(signal) {
      while (!signal.aborted && (inFlight.size > 0 || store.outbox().held.some((entry) => entry.live))) {
        await clock.sleep(PACE_MS, signal);
      }
    },
    async stop() {
      stopped = true;
      wake();
      await running;
    },
  };
}

async function publish({ link, store, clock, topic, log }: PumpParts, report: Held): Promise<void> {
  try {
    await link.publish(topic, report.envelope);
  } catch (cause) {
    log.debug({ code: codeOf(cause), sequence: report.sequence }, 'A report did not reach the broker');
    store.change((outbox) => notSent(outbox, report.digest, clock.monotonic()));
  }
}
