import type { BrokerClient, BrokerEvents, ConnectionRefusal } from '../../ports.ts';
import type { TlsPeer } from './peer.ts';

/** The other side of a connection that the broker serves. */
export interface Visitor {
  /** What TLS proved; null for a plain connection. */
  readonly peer: TlsPeer | null;
  readonly address: string | null;
}

/** @param clientId as it was told */
export const clientOf = ({ peer, address }: Visitor, clientId: string | null): BrokerClient => ({
  clientId,
  deviceId: peer?.deviceId ?? null,
  address,
});

/** Ends a client for what was told as an event already. */
export class Told extends Error {
  override readonly name = 'Told';
}

/** Wildcards in the topic of a PUBLISH, as aedes says it: it looks for them before it asks whether the topic is allowed. */
const WILDCARDS = ['# is not allowed in PUBLISH', '+ is not allowed in PUBLISH'];
/** What ends a client by a timer of aedes; null for one that went away. */
const TIMED_OUT: Readonly<Record<string, ConnectionRefusal | null>> = {
  'connect did not arrive in time': 'connect_timeout',
  'drain timeout': 'reader_too_slow',
  'keep alive timeout': null,
};

/** Tells why aedes ended a client, when that was for something that the client did. */
export function tellFailure(events: BrokerEvents, client: BrokerClient, error: Error): void {
  // With a code it is the network's, or TLS's.
  if (error instanceof Told || 'code' in error) return;
  if (WILDCARDS.includes(error.message)) return events.foreign(client, null, 'publish');
  const code = error.message in TIMED_OUT ? TIMED_OUT[error.message] : 'mqtt_invalid';
  if (code) events.refusedConnection(code, client);
}
