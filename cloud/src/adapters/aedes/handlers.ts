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
import type { TlsPeer } from './peer.ts';

/** CONNACK, return codes (MQTT 3.1.1, section 3.2.2.3). */
const RETURN_CODES = { identifierRejected: 2, notAuthorized: 5 } as const;
/** A client that says nothing for longer is given up, whatever it asked for: seconds. */
const MAX_KEEP_ALIVE_S = 1_200;

const LIMITS = {
  /** Until a connection says who it is, and until one that does not read is given up, in ms. */
  connectTimeout: 10_000,
  drainTimeout: 10_000,
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
  /** What TLS proved about the other side of a client's connection; null for a plain one. */
  readonly peerOf: (client: Client) => TlsPeer | null;
}

/** What a client may do, as the broker asks for it: connect, publish, subscribe. */
export function handlers(parts: HandlerParts): AedesOptions {
  const { events, clock } = parts;
  return {
    ...LIMITS,
    preConnect: (client, packet, done) => {
      // Sessions are clean (docs/protocol.md, section 2): nothing waits in memory for who may never come.
      packet.clean = true;
      packet.keepalive = Math.min(packet.keepalive || MAX_KEEP_ALIVE_S, MAX_KEEP_ALIVE_S);
      const { clientId, will } = packet;
      const peer = parts.peerOf(client);
      // Before anything is kept under the id of another one.
      if (peer !== null && peer.deviceId !== clientId) {
        events.refusedConnection('client_id_mismatch', peer.deviceId, peer.address);
        return done(new Error('The client id is not the device of the certificate'), false);
      }
      if (will === undefined || isOwn(clientId, will.topic, 'device')) return done(null, true);
      events.foreign(clientId, will.topic);
      done(new Error('The will is not on a topic of this client'), false);
    },
    authenticate: (client, _user, _password, done) => {
      if (!isDeviceId(client.id)) return done(refusal('The client id is not a device id', 'identifierRejected'), false);
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
        events.foreign(client.id, topic);
        return done(new Error('Not a topic of this client'));
      }
      // Nobody may subscribe to what devices say, so that kept it would only fill the memory.
      packet.retain = false;
      // As a client of another broker would subscribe: a presence is a hint for whoever listens, and no report.
      if (!isRecorded) return done(null);
      void events.message({ topic, payload: Buffer.from(payload), receivedAt }).then(() => done(null));
    },
    authorizeSubscribe: (client, subscription, done) =>
      done(null, isOwn(client.id, subscription.topic, 'cloud') ? subscription : null),
  };
}

async function admit({ admission, events, peerOf }: HandlerParts, client: Client): Promise<boolean> {
  const peer = peerOf(client);
  const address = peer?.address ?? null;
  const { conn } = client;
  const connection: DeviceConnection = {
    deviceId: client.id,
    certificate: peer,
    close(code) {
      events.refusedConnection(code, peer && client.id, address);
      conn.destroy();
    },
  };
  conn.once('close', () => admission.gone(connection));
  const code = await admission.admit(connection);
  if (code === null) return true;
  events.refusedConnection(code, peer && client.id, address);
  return false;
}

const refusal = (message: string, code: keyof typeof RETURN_CODES) =>
  Object.assign(new Error(message), { returnCode: RETURN_CODES[code] });

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
