import { inflater } from './adapters/deflate.ts';
import { createLocalServer } from './adapters/local-server.ts';
import type { AgentConfig } from './config.ts';
import type { DesiredKeeper } from './desired/keeper.ts';
import { Applications } from './local/applications.ts';
import { EventNotes } from './local/event-notes.ts';
import { LocalEvents } from './local/events.ts';
import { LocalInterface } from './local/interface.ts';
import { Listeners } from './local/listeners.ts';
import { LocalLock } from './local/lock.ts';
import type { LocalState } from './local/state.ts';
import type { Clock, Disk } from './ports.ts';
import type { LocalServed, LocalServer } from './ports-local.ts';
import { codeOf, type Log } from './report/log.ts';
import type { SensorSource, SessionParts } from './report/parts.ts';
import type { Session } from './report/session.ts';
import { turnsIn } from './update-lock.ts';
import { openUpdateLock } from './update/lock.ts';

/**
 * A socket that cannot be opened is tried again: somebody may still make room, or put the directory right. One that is
 * open is looked for: a clean-up of its directory is no reason to be without it until the next start.
 */
const OPEN_AGAIN_MS = 30_000;

type LocalConfig = NonNullable<AgentConfig['local']>;

export interface LocalParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly bootId: string;
  readonly device: string;
  readonly agentVersion: string;
  readonly dataDir: string;
}

/** What is there once the session has begun. */
export interface LocalSources {
  readonly session: Session;
  readonly sensors: Pick<SensorSource, 'readings'>;
  readonly desired: Pick<DesiredKeeper, 'shown'>;
  readonly firmware: SessionParts['firmware'] | null;
}

/** The interface for the kiosk's own software, from its first reading to its end. */
export interface Local {
  /** The same sensors, and beside them how the kiosk's own software is. */
  withApplications(sensors: SensorSource): SensorSource;
  applicationFault(since: Parameters<Applications['faultSince']>[0]): string | null;
  /** Hears answers from now on. */
  answered: NonNullable<SessionParts['local']>['answered'];
  /** Opens the socket, and goes on trying. */
  begin(sources: LocalSources): void;
  /** Nothing is taken any more, who waits is told so, and the socket goes. */
  stop(): Promise<void>;
}

export async function openLocal(config: LocalConfig, parts: LocalParts): Promise<Local> {
  const { clock, log } = parts;
  // Before there is a session, of which no answer is to be missed meanwhile.
  const notes = await EventNotes.open(parts.disk).catch((cause: unknown) => {
    log.error({ code: 'local_events_unread', err: cause }, 'What became of events of earlier starts cannot be read');
    return EventNotes.unread(parts.disk);
  });
  const applications = new Applications(config.applications, clock, log);
  const stopping = new AbortController();
  const server = createLocalServer(config);
  const answers: ((...answer: Parameters<Local['answered']>) => void)[] = [];
  const ends: (() => void)[] = [() => applications.close()];
  let opened: Promise<void> = Promise.resolve();
  return {
    withApplications: (sensors) => ({
      open(events) {
        applications.begin((reading) => events.urgent(reading));
        sensors.open(events);
      },
      readings: (at = clock.monotonic()) => ({ ...sensors.readings(at), ...applications.readings(at) }),
      // The kiosk's own software starts when it starts.
      settling: () => sensors.settling?.() ?? sensors.readings(),
      close: () => sensors.close(),
    }),
    applicationFault: (since) => applications.faultSince(since),
    answered: (...answer) => answers.forEach((hear) => hear(...answer)),
    begin(sources) {
      const lock = new LocalLock(openUpdateLock({ ...parts, inTurn: turnsIn(parts.dataDir, clock) }), clock);
      const state = collector(parts, sources, applications, lock);
      const listeners = new Listeners(clock, log, state);
      const events = openEvents(parts, notes, sources.session);
      answers.push((answer) => events.answered(answer));
      ends.push(
        () => events.stop(),
        () => listeners.stop(),
      );
      const served = new LocalInterface({ clock, log, state, events, listeners, lock, applications });
      opened = keepOpening(server, served, { ...parts, socket: config.socket, stop: stopping.signal });
    },
    async stop() {
      stopping.abort();
      for (const end of ends) end();
      await opened;
      await server.close();
    },
  };
}

const openEvents = ({ clock, log }: LocalParts, notes: EventNotes, session: Session): LocalEvents =>
  new LocalEvents({
    clock,
    log,
    notes,
    inflater,
    report: (event) => session.event(event),
    isOnDisk: (digest) => session.outbox().find(digest)?.onDisk ?? null,
    held: () => session.outbox().held,
    isFull: () => session.outbox().isFullOfEvents,
    keepAgain: () => session.keepAgain(),
    online: () => session.online(),
  });

const collector =
  (
    { clock, device, agentVersion }: LocalParts,
    { session, sensors, desired, firmware }: LocalSources,
    applications: Applications,
    lock: LocalLock,
  ) =>
  async (): Promise<LocalState> => {
    const held = await lock.shown();
    const now = clock.monotonic();
    const { waiting, droppedRoutine, droppedEvents } = session.outbox();
    return {
      device,
      agent: { version: agentVersion },
      uptimeMs: now,
      connection: { online: session.online() },
      readings: sensors.readings(now),
      desired: desired.shown(),
      firmware: firmware?.reported() ?? null,
      lock: held,
      applications: applications.shown(now),
      outbox: { waiting, droppedRoutine, droppedEvents },
    };
  };

interface Opening extends Pick<LocalParts, 'clock' | 'log'> {
  readonly socket: string;
  readonly stop: AbortSignal;
}

async function keepOpening(
  server: LocalServer,
  served: LocalServed,
  { clock, log, socket, stop }: Opening,
): Promise<void> {
  let told: string | null = null;
  while (!stop.aborted) {
    try {
      await server.open(served);
      log.info({ code: 'local_open', socket }, 'The local interface is open');
      told = null;
      do await clock.sleep(OPEN_AGAIN_MS, stop);
      while (!stop.aborted && (await server.isThere()));
      if (stop.aborted) return;
      log.warn({ code: 'local_lost', socket }, 'Somebody has removed the socket: making it again');
      await server.close();
    } catch (cause) {
      const code = codeOf(cause);
      if (code !== told) log.error({ code, socket, err: cause }, 'The local interface cannot be opened: trying again');
      told = code;
      await clock.sleep(OPEN_AGAIN_MS, stop);
    }
  }
}
