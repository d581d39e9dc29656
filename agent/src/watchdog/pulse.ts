import type { Disk, Link, PortStatus } from '../ports.ts';
import type { Vital, Vitals } from './judge.ts';

const MINUTE_MS = 60_000;
/** Reports go on from memory while a disk hangs; after this the threads that wait for it are missed elsewhere. */
const DISK_WITHIN_MS = 5 * MINUTE_MS;
/** Attempts to connect are a minute apart at most, and each has its own end. */
const LINK_WITHIN_MS = 5 * MINUTE_MS;
/** A unit that does not answer is asked in every sixteenth round only. */
const POLL_ROUNDS = 20;
const PORT_LEAST_MS = 2 * MINUTE_MS;
/** A signature may wait for a token, and a health reading for the disk. */
const REPORT_SPARE_MS = 5 * MINUTE_MS;

/** A port that asks by itself, so that it always has something to tell. */
export interface PolledPort {
  readonly name: string;
  readonly pollMs: number;
}

export interface PortTold {
  readonly name: string;
  readonly state: PortStatus['state'];
  /** What came of it, faults included. */
  readonly told: number;
}

/** What the parts of the agent get done, counted where they do it. */
export interface Pulse {
  vitals(): Vitals;
  /** Counts what is done on the disk, and knows what is still being done. */
  disk(disk: Disk): Disk;
  /** Counts what the connection says, breaks included: who tries again gets on. */
  link(link: Link): Link;
  /** @param told of all ports, now */
  sensing(polled: readonly PolledPort[], told: () => readonly PortTold[]): void;
  /** @param tried how many reports were made, or could not be */
  reporting(tried: () => number, withinMs: () => number): void;
}

export function createPulse(): Pulse {
  const sources = new Map<string, () => Vital>();
  return {
    vitals: () => Object.fromEntries([...sources].map(([part, read]) => [part, read()])),
    disk(disk) {
      const { calls, vital } = countedCalls();
      sources.set('the disk', vital);
      return {
        read: (...of) => calls(disk.read(...of)),
        replace: (...of) => calls(disk.replace(...of)),
        append: (...of) => calls(disk.append(...of)),
        remove: (...of) => calls(disk.remove(...of)),
      };
    },
    link(link) {
      const { heard, vital } = countedLink();
      sources.set('the connection', vital);
      return { ...link, open: (events) => link.open(heard(events)) };
    },
    sensing(polled, told) {
      for (const { name, pollMs } of polled) {
        const withinMs = Math.max(PORT_LEAST_MS, POLL_ROUNDS * pollMs);
        sources.set(`port ${name}`, () =>
          portVital(
            told().find((port) => port.name === name),
            withinMs,
          ),
        );
      }
    },
    reporting(tried, withinMs) {
      sources.set('reporting', () => ({ done: tried(), idle: false, withinMs: 2 * withinMs() + REPORT_SPARE_MS }));
    },
  };
}

function countedCalls() {
  let [begun, ended] = [0, 0];
  return {
    calls: <T>(call: Promise<T>): Promise<T> => {
      begun += 1;
      return call.finally(() => void (ended += 1));
    },
    vital: (): Vital => ({ done: ended, idle: begun === ended, withinMs: DISK_WITHIN_MS }),
  };
}

type LinkEvents = Parameters<Link['open']>[0];

/** While it stands MQTT's own keep-alive watches it. */
function countedLink() {
  let done = 0;
  let stands = false;
  return {
    heard: (events: LinkEvents): LinkEvents => ({
      ...events,
      online() {
        done += 1;
        stands = true;
        events.online();
      },
      offline(...why) {
        done += 1;
        stands = false;
        events.offline(...why);
      },
    }),
    vital: (): Vital => ({ done, idle: stands, withinMs: LINK_WITHIN_MS }),
  };
}

/** One that is not there is opened again and again, which is not what it is there for. */
const portVital = (port: PortTold | undefined, withinMs: number): Vital => ({
  done: port?.told ?? 0,
  idle: port?.state !== 'open' && port?.state !== 'silent',
  withinMs,
});
