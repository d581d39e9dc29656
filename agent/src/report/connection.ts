import type { Trigger } from '@paddock/shared/report.ts';
import type { Clock, LinkEvents } from '../ports.ts';
import type { Log } from './log.ts';
import type { OutboxStore } from './store.ts';
import type { Written } from './writer.ts';

/** How long the answer to the opening report may keep back what has to be sent again. */
const OPENING_WITHIN_MS = 10_000;
/** A boot report this young is still the newest state, and opens the connection itself. */
const FRESH_BOOT_MS = 10_000;

export interface Connection {
  online(): boolean;
  state(): { readonly online: boolean; readonly opened: boolean };
  readonly events: Omit<LinkEvents, 'message'>;
  /** Hears of every report that was made. */
  written(report: Written, trigger: Trigger): void;
  /** Hears of every answer that was taken. */
  answered(digest: string): void;
  /** What was sent again has to be asked about. */
  batchEnded(): void;
}

export interface ConnectionParts {
  readonly clock: Clock;
  readonly store: OutboxStore;
  readonly log: Log;
  readonly report: (trigger: Trigger) => Promise<unknown>;
  readonly wake: () => void;
}

/** A connection is opened by a small report that asks; its answer says what has to be sent again. */
export function createConnection({ clock, store, log, report, wake }: ConnectionParts): Connection {
  let online = false;
  let opened = false;
  let opening: string | null = null;
  let asking = false;
  let boot: Written | null = null;
  let over = new AbortController();
  const tellLoss = createLossTeller(log);
  const ask = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    const made = await report({ kind: 'connect' });
    asking = false;
    // One that cannot be made is not tried again at once, or this would never end.
    if (made !== null) wake();
  };
  const open = (): void => {
    opened = true;
    wake();
  };
  const openLater = async (signal: AbortSignal): Promise<void> => {
    await clock.sleep(OPENING_WITHIN_MS, signal);
    if (!signal.aborted) open();
  };
  return {
    online: () => online,
    state: () => ({ online, opened }),
    events: {
      online() {
        log.info({}, 'Connected');
        online = true;
        over = new AbortController();
        void openLater(over.signal);
        // Before the boot report is made there is nothing to open with: it will do it.
        if (boot === null) return;
        if (clock.monotonic() - boot.uptime < FRESH_BOOT_MS && isUnsent(store, boot)) {
          const { digest } = boot;
          opening = digest;
          store.change((outbox) => outbox.opensConnection(digest));
          wake();
        } else void ask();
      },
      offline(reason) {
        tellLoss(online, reason);
        online = opened = false;
        opening = null;
        over.abort();
        store.disconnected();
      },
    },
    written(made, trigger) {
      if (trigger.kind === 'boot') boot = made;
      if (online && !opened && opening === null && (trigger.kind === 'boot' || trigger.kind === 'connect'))
        opening = made.digest;
      wake();
    },
    answered: (digest) => (digest === opening ? open() : wake()),
    batchEnded: () => void ask(),
  };
}

/** A connection that does not come is told when the reason changes: it is tried again for ever. */
function createLossTeller(log: Log): (wasOnline: boolean, reason: string) => void {
  let told: string | null = null;
  return (wasOnline, reason) => {
    if (wasOnline) log.warn({ code: 'link_lost', reason }, 'The connection is lost');
    else if (reason !== told) log.warn({ code: 'link_down', reason }, 'There is no connection to the broker');
    told = reason;
  };
}

/** Nothing was reported since, and it was never sent. */
const isUnsent = (store: OutboxStore, report: Written): boolean => {
  const newest = store.outbox().newest();
  return newest?.digest === report.digest && newest.attempts === 0;
};
