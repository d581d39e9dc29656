import type { AedesOptions, Client } from 'aedes';
import {
  isDeviceId,
  MESSAGE_KINDS,
  parseTopic,
  RECORDED_KINDS,
  topicOf,
  type ParsedTopic,
} from '@paddock/shared/topics.ts';
import type { Admission, BrokerEvents, Clock, DeviceConnection } from '../../ports.ts';
import { clientOf, Told, type Visitor } from './visitor.ts';

/** CONNACK, return codes (MQTT 3.1.1, section 3.2.2.3). */
const RETURN_CODES = { identifierRejected: 2, notAuthorized: 5 } as const;

export interface ClientLimits {
  /** Until a connection has said who it is. */
  readonly connectMs: number;
  /** Until one that does not read is given up. */
  readonly drainMs: number;
  /** The longest keep-alive, whatever was asked for; a client that says nothing for half as long again is given up. */
  readonly keepAliveS: number;
}

export const CLIENT_LIMITS: ClientLimits = { connectMs: 10_000, drainMs: 10_000, keepAliveS: 1_200 };

const OPTIONS = {
  /** The protocol knows QoS 1 only: few half-open QoS 2 messages of a client are kept. */
  maxInflightInbound: 16,
  // Unbounded: past a bound its emitter queues, and works the queue off by calling itself. A few thousand reports in a
  // row, which nobody subscribes to, would overflow the stack and end the service. What waits is bounded by the ingest.
  concurrency: 0,
} as const satisfies AedesOptions;

export interface HandlerParts {
  readonly events: BrokerEvents;
  readonly clock: Clock;
  readonly admission: Admission;
  readonly limits: ClientLimits;
  readonly visitorOf: (client: Client) => Visitor;
}

/** What a client may do, as the broker asks for it: connect, publish, subscribe. */
export function handlers(parts: HandlerParts): AedesOptions {
  const { events, clock, limits, visitorOf } = parts;
  return {
    ...OPTIONS,
    connectTimeout: limits.connectMs,
    drainTimeout: limits.drainMs,
    preConnect: (client, packet, done) => {
      // Sessions are clean (docs/protocol.md, section 2): nothing waits in memory for who may never come.
      packet.clean = true;
      packet.keepalive = Math.min(packet.keepalive || limits.keepAliveS, limits.keepAliveS);
      const { clientId, will } = packet;
      const visitor = visitorOf(client);
      const { peer } = visitor;
      // Before anything is kept under the id of another one.
      if (peer !== null && peer.deviceId !== clientId) {
        events.refusedConnection('client_id_mismatch', clientOf(visitor, clientId));
        return done(new Told('The client id is not the device of the certificate'), false);
      }
      if (will === undefined || isOwn(clientId, will.topic, 'device')) return done(null, true);
      events.foreign(clientOf(visitor, clientId), will.topic, 'leaveWill');
      done(new Told('The will is not on a topic of this client'), false);
    },
    authenticate: (client, _user, _password, done) => {
      if (!isDeviceId(client.id)) {
        events.refusedConnection('client_id_invalid', clientOf(visitorOf(client), client.id));
        return done(refusal('The client id is not a device id', 'identifierRejected'), false);
      }
      void admit(parts, client).then((admitted) =>
        admitted ? done(null, true) : done(refusal('The device may not connect', 'notAuthorized'), false),
      );
    },
    authorizePublish: (client, packet, done) => {
      const { topic, payload } = packet;
      // Without a client it is our own message; every other one is stamped before anything else.
      if (client === null) return done(null);
      const receivedAt = clock.wall();
      const isRecorded = RECORDED_KINDS.some((kind) => topic === topicOf(kind, client.id));
      if (!isRecorded && !isOwn(client.id, topic, 'device')) {
        events.foreign(clientOf(visitorOf(client), client.id), topic, 'publish');
        return done(new Told('Not a topic of this client'));
      }
      // Nobody may subscribe to what devices say, so that kept it would only fill the memory.
      packet.retain = false;
      // As a client of another broker would subscribe: a presence is a hint for whoever listens, and no report.
      if (!isRecorded) return done(null);
      const { deviceId, address } = clientOf(visitorOf(client), client.id);
      const inbound = { topic, payload: Buffer.from(payload), receivedAt, origin: { deviceId, address } };
      void events.message(inbound).then(() => done(null));
    },
    authorizeSubscribe: (client, subscription, done) => {
      if (isOwn(client.id, subscription.topic, 'cloud')) return done(null, subscription);
      events.foreign(clientOf(visitorOf(client), client.id), subscription.topic, 'subscribe');
      // MQTT 3.1.1, section 3.9.3: refused, and the connection stands.
      done(null, null);
    },
  };
}

async function admit({ admission, events, visitorOf }: HandlerParts, client: Client): Promise<boolean> {
  const visitor = visitorOf(client);
  const who = clientOf(visitor, client.id);
  const { conn } = client;
  const connection: DeviceConnection = {
    deviceId: client.id,
    certificate: visitor.peer,
    close(code) {
      events.refusedConnection(code, who);
      conn.destroy();
    },
  };
  conn.once('close', () => admission.gone(connection));
  const code = await admission.admit(connection);
  if (code === null) return true;
  events.refusedConnection(code, who);
  return false;
}

const refusal = (message: string, code: keyof typeof RETURN_CODES) =>
  Object.assign(new Told(message), { returnCode: RETURN_CODES[code] });

function isOwn(clientId: string, topic: string, from: 'device' | 'cloud'): boolean {
  const parsed = tryParse(topic);
  return parsed !== null && parsed.deviceId === clientId && MESSAGE_KINDS[parsed.kind].from === from;
}

function tryParse(topic: string): ParsedTopic | null {
  try {
    return parseTopic(topic);
  } catch {
    return null;
  }
}
