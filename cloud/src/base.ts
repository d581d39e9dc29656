import type { OwnKey } from './adapters/data-dir.ts';
import type { Prometheus } from './adapters/prometheus.ts';
import type { CloudConfig } from './settings.ts';
import type { OwnClock } from './instances/own-clock.ts';
import type { Identity } from './instances/register.ts';
import type { Audit, Clock, Log, Store } from './ports.ts';
import type { Authorities } from './trust/authorities.ts';
import type { ServerCertificate } from './trust/server-certificate.ts';

/** What is there before anything is signed or shown. */
export interface Ground {
  readonly audit: Audit;
  readonly config: CloudConfig;
  readonly clock: Clock;
  readonly ownClock: OwnClock;
  readonly log: Log;
  readonly metrics: Prometheus;
  readonly store: Store;
  readonly onlineKey: OwnKey;
  readonly identity: Identity;
}

/** What every part of the service is made of. */
export interface Base extends Ground {
  readonly authorities: Authorities;
  /** What servers for devices show; it renews itself. */
  readonly serverCertificate: ServerCertificate;
}

/** Starts a loop that ends when the service does. */
export type Background = (loop: (signal: AbortSignal) => Promise<void>) => void;

export function runInBackground(started: AsyncDisposableStack): Background {
  return (loop) => {
    const stopping = new AbortController();
    const running = loop(stopping.signal);
    started.defer(() => {
      stopping.abort();
      return running;
    });
  };
}
