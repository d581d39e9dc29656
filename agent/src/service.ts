import { openServiceManager, type ServiceEnvironment } from './adapters/service-manager.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import type { RunningAgent } from './main.ts';
import { openOwnRelease, type OwnRelease, type StartedAs } from './own-release.ts';
import type { Log } from './report/log.ts';
import { keepWatch } from './watchdog/watchdog.ts';

export interface Service {
  /** The agent stops, because it was told to or by itself. */
  stopping(): void;
}

/** Tells who started the agent as a service that it runs, and from then on how it does; nobody where it is none. */
export async function serveAs(environment: ServiceEnvironment, agent: RunningAgent, log: Log): Promise<Service> {
  const manager = await openServiceManager(environment);
  if (manager === null) return { stopping() {} };
  (await import('./adapters/own-memory.ts')).keepOthersOut();
  const over = new AbortController();
  const status = (): string => statusOf(agent.device(), agent.online());
  manager.tell({ READY: '1', STATUS: status() });
  void keepWatch({ clock: createSystemClock(), manager, log, vitals: () => agent.vitals(), status }, over.signal);
  return {
    stopping() {
      over.abort();
      manager.tell({ STOPPING: '1', STATUS: 'Says goodbye' });
    },
  };
}

export const ownReleaseOf = (environment: StartedAs): OwnRelease | null =>
  openOwnRelease(environment, createSystemClock());

function statusOf(device: string | null, online: boolean): string {
  if (device === null) return 'Waits to be let in by its cloud';
  return `${online ? 'Connected' : 'Without a connection'} as ${device}`;
}
