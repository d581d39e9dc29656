import { topicOf } from '@paddock/shared/topics.ts';
import type { Clock } from '../ports.ts';
import { createAnswerReader } from './answer-reader.ts';
import { createConnection, type Connection } from './connection.ts';
import { boundedData } from './event-data.ts';
import { createQuiet } from './log.ts';
import { bootFirst } from './boot-first.ts';
import { countLostEvent, type Outbox } from './outbox.ts';
import type { SessionOptions, SessionParts } from './parts.ts';
import { startPump } from './pump.ts';
import { whenQuiet } from './quiet.ts';
import { createReporter, type Reporter } from './reporter.ts';
import { keepSchedule, settled } from './schedule.ts';
import { openOutboxStore, type OutboxStore } from './store.ts';
import type { SealedReport } from './sealed.ts';
import { createEventIntake, createUrgentReports, type EventIntake, type EventTrigger } from './storms.ts';

/** How long events that still wait may take to reach the disk, and the goodbye behind them to be made. */
const FLUSH_WITHIN_MS = 1_500;
/** How long a goodbye may take to reach the broker, and the connection to close. */
const GOODBYE_WITHIN_MS = 2_000;
const CLOSE_WITHIN_MS = 1_000;
/** How long what is left may take to reach the disk at the very end. */
const KEEP_WITHIN_MS = 1_500;

export interface Session {
  outbox(): Outbox;
  /**
   * Does something while no report is made, once the cloud has every one.
   * @returns false when that does not come about, and it was not done
   */
  quiet(work: () => Promise<unknown>): Promise<boolean>;
  /** Whether the connection stands. */
  online(): boolean;
  /** How many reports were made, or could not be. */
  tried(): number;
  /**
   * Reports an event that happens now. It is in the outbox when this resolves, on the disk if that takes anything.
   * @returns null when it is dropped: there were too many just now, or the session ends; it resolves to null when no
   * report of it could be made
   */
  event(event: Pick<EventTrigger, 'name' | 'data' | 'id'>): Promise<SealedReport | null> | null;
  /** Tries once more to have the events on the disk that it did not take. */
  keepAgain(): Promise<void>;
  /** Says goodbye, sends what is on its way, and closes everything. */
  stop(): Promise<void>;
}

/** One start of the agent, from the boot report to the goodbye. */
export async function startSession(parts: SessionParts, options: SessionOptions): Promise<Session> {
  const { clock, link, sensors, time, log } = parts;
  const store = await openOutboxStore(parts.disk, options, log, clock);
  const stopping = new AbortController();
  const made = await createReporter(parts, options, store, {
    online: () => connection.online(),
    written: (report, trigger) => connection.written(report, trigger),
  });
  const reporter = bootFirst(made, () => settled(clock, sensors, stopping.signal));
  const connection = createConnection({
    clock,
    store,
    log,
    report: (trigger) => reporter.report(trigger),
    wake: () => pump.wake(),
  });
  const pump = startPump({
    clock,
    link,
    store,
    log,
    topic: topicOf('report', options.device),
    connection: () => connection.state(),
    // After the goodbye nobody waits for an answer, and a question would be cut off on its way.
    batchEnded: () => void (stopping.signal.aborted || connection.batchEnded()),
  });
  const readAnswer = readAnswers(parts, options, store, { reporter, connection });
  const message = (topic: string, payload: string): void => {
    readAnswer(topic, payload);
    void parts.desired?.message(topic, payload);
  };
  parts.desired?.begin(() => void reporter.report({ kind: 'desired' }));
  const events = createEventIntake(clock, (...event) => reporter.report(...event));
  openSensors(parts, options, { reporter, events, store, stop: stopping.signal });
  parts.firmware?.watch(() => void reporter.report({ kind: 'firmware' }));
  beginOutputs(parts, reporter, connection);
  link.open({ ...connection.events, message });
  const unschedule = keepSchedule(parts, options, reporter, stopping.signal);
  return {
    outbox: () => store.outbox(),
    quiet: (work) => whenQuiet({ clock, store, reporter, online: () => connection.online() }, work),
    online: () => connection.online(),
    tried: () => reporter.tried(),
    event: (event) => events.add({ kind: 'event', ...event }, { at: clock.monotonic(), segment: clock.segment() }),
    keepAgain: () => store.keepAgain(),
    async stop() {
      unschedule();
      stopping.abort();
      await Promise.race([events.close(), clock.sleep(FLUSH_WITHIN_MS)]);
      await Promise.race([reporter.report({ kind: 'shutdown' }), clock.sleep(FLUSH_WITHIN_MS)]);
      const online = connection.online();
      if (online) await pump.drained(timeout(clock, GOODBYE_WITHIN_MS));
      await Promise.race([link.close(), clock.sleep(CLOSE_WITHIN_MS)]);
      // A disk that hangs must not keep the supervisor waiting until it kills.
      const kept = Promise.all([time.close(), store.close(online)]);
      await Promise.all([pump.stop(), Promise.race([kept, clock.sleep(KEEP_WITHIN_MS)]), sensors.close()]);
    },
  };
}

const beginOutputs = ({ outputs }: SessionParts, reporter: Reporter, connection: Connection): void =>
  outputs?.begin({
    changed: () => void reporter.report({ kind: 'desired' }),
    // Nobody hears it offline, and it would take the place of other reports.
    ask: () => void (connection.online() && reporter.report({ kind: 'schedule' })),
  });

/** Whoever waits for an answer hears of it. */
const readAnswers = (
  parts: SessionParts,
  options: SessionOptions,
  store: OutboxStore,
  { reporter, connection }: { readonly reporter: Reporter; readonly connection: Connection },
): ReturnType<typeof createAnswerReader> =>
  createAnswerReader(parts, options, store, (answer, { isExchange, asked }) => {
    if (isExchange) reporter.exchanged();
    connection.answered(answer.digest);
    parts.inventory?.answered(answer.wants);
    void parts.desired?.answered(answer.desired);
    const held = parts.desired?.reported();
    const isCurrent = held?.epoch === answer.desired.epoch && held.version === answer.desired.version;
    if (asked !== null) parts.outputs?.answered(asked, isCurrent);
    parts.firmware?.cloudReached();
    parts.local?.answered(answer);
    parts.past?.answered(answer);
  });

interface SensorHandling {
  readonly reporter: Reporter;
  readonly events: EventIntake<unknown>;
  readonly store: OutboxStore;
  readonly stop: AbortSignal;
}

function openSensors({ clock, sensors, log }: SessionParts, options: SessionOptions, handling: SensorHandling): void {
  const { reporter, events, store, stop } = handling;
  const urgent = createUrgentReports(clock, options.urgentMinIntervalMs, stop, (sensor) => {
    void reporter.report({ kind: 'change', sensor });
  });
  const [quiet, quietSize] = [createQuiet(clock), createQuiet(clock)];
  sensors.open({
    urgent,
    event(name, given, at) {
      const data = boundedData(given);
      if (data !== given)
        quietSize((times) =>
          log.warn({ code: 'event_data_too_large', event: name, times }, 'An event goes without data'),
        );
      if (events.add({ kind: 'event', name, data }, { at, segment: clock.segment() }) !== null) return;
      store.change(countLostEvent);
      quiet((dropped) => log.warn({ code: 'event_storm', event: name, dropped }, 'Too many events: some were dropped'));
    },
  });
}

function timeout(clock: Clock, ms: number): AbortSignal {
  const over = new AbortController();
  void clock.sleep(ms).then(() => over.abort());
  return over.signal;
}
