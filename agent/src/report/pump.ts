import { uptimeMs, type UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, Link } from '../ports.ts';
import { codeOf, type Log } from './log.ts';
import type { Held } from './sealed.ts';
import type { OutboxStore } from './store.ts';

/** What is sent again goes with so many not acknowledged yet: a live report never waits long. */
const AGAIN_IN_FLIGHT = 8;
const DRAIN_POLL_MS = 20;
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
}

export interface Pump {
  /** Looks again at what is to be sent. */
  wake(): void;
  /** Resolves when nothing is on its way to the broker, or when the signal aborts. */
  drained(signal: AbortSignal): Promise<void>;
  stop(): Promise<void>;
}

/** Sends what the outbox names: live reports at once, others at the pace that the cloud asks for. */
export function startPump(parts: PumpParts): Pump {
  const { clock, store } = parts;
  const inFlight = new Set<Promise<void>>();
  let stopped = false;
  let alarm = new AbortController();
  const wake = (): void => {
    alarm.abort();
    alarm = new AbortController();
  };
  let againAt = clock.monotonic();
  const step = (now: UptimeMs): { send: Held } | { waitMs: number } => {
    const { online, opened } = parts.connection();
    if (!online) return { waitMs: LONGEST_WAIT_MS };
    const outbox = store.outbox();
    const next = outbox.next(opened, now);
    if (next?.live) return { send: next };
    if (opened && outbox.endsBatchUnasked(next)) parts.batchEnded();
    if (next && inFlight.size >= AGAIN_IN_FLIGHT) return { waitMs: LONGEST_WAIT_MS };
    if (next && now >= againAt) return { send: next };
    const dueAt = next ? againAt : opened ? outbox.nextDueAt() : null;
    return { waitMs: dueAt === null ? LONGEST_WAIT_MS : Math.min(LONGEST_WAIT_MS, Math.max(1, dueAt - now)) };
  };
  const send = (report: Held): void => {
    // The segment first: after a suspend in between, the answer's segment differs from it, and nothing is concluded.
    const segment = clock.segment();
    const now = clock.monotonic();
    store.change((outbox) => outbox.sent(report.digest, now, segment));
    if (!report.live) againAt = uptimeMs(now + store.pauseMs());
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
      else await clock.sleep(next.waitMs, signal);
    }
  };
  const running = run();
  return {
    wake,
    async drained(signal) {
      while (!signal.aborted && (inFlight.size > 0 || store.outbox().hasLive())) {
        await clock.sleep(DRAIN_POLL_MS, signal);
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
    const code = codeOf(cause);
    log.debug({ code, sequence: report.sequence }, 'A report did not reach the broker');
    store.change((outbox) => outbox.notSent(report.digest, clock.monotonic(), code === 'link_busy'));
  }
}
