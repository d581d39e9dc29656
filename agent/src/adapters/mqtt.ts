import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { IClientOptions, MqttClient } from 'mqtt';
import { ADDRESS_PATIENCE, connectFault } from '@paddock/shared/addresses.ts';
import type { Clock, Link, LinkEvents, LinkOptions, RetainedMessage } from '../ports.ts';
import { reconnectDelayMs } from './mqtt-delay.ts';

const CONNECT_WITHIN_MS = 10_000;
/** Subscription and birth included. A broker may answer pings for ever and still take nothing. */
const READY_WITHIN_MS = 30_000;
/** A broker that holds an acknowledgement longer than this has lost it: only another connection helps. */
const ACKNOWLEDGE_WITHIN_MS = 60_000;
const GOODBYE_WITHIN_MS = 1_000;
/** A connection that stood this long was a good one: the next break begins with a short delay again. */
const STEADY_AFTER_MS = 30_000;
/** Below the in-flight limit of common brokers, so that none of them ever has to drop. */
const MAX_IN_FLIGHT = 16;
const QOS = 1;

export class LinkError extends Error {
  override readonly name = 'LinkError';
  readonly code: 'link_offline' | 'link_busy' | 'link_refused';
  constructor(code: LinkError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface MqttLinkOptions extends LinkOptions {
  readonly keepAliveSeconds: number;
  /** Makes a stream to the broker and resolves when the broker has proved who it is; absent for plain TCP to `url`. */
  readonly dial?: () => Promise<Duplex>;
}

/**
 * MQTT 3.1.1 with clean sessions. mqtt.js keeps the protocol; connecting again, what is sent again and what is
 * given up are decided here, so nothing is ever queued behind our back.
 */
export function createMqttLink(options: MqttLinkOptions, clock: Clock): Link {
  const closing = new AbortController();
  let isClosing = false;
  let current: Connected | null = null;
  let running: Promise<void> = Promise.resolve();
  return {
    open(given) {
      // What ends because we close is no loss.
      const offline = (...why: Why): void => void (isClosing || given.offline(...why));
      const events: LinkEvents = {
        online: () => given.online(),
        offline,
        message: (...heard) => given.message(...heard),
      };
      running = keepConnected(options, clock, closing.signal, events, (connected) => void (current = connected));
    },
    async publish(topic, payload) {
      if (!current) throw new LinkError('link_offline', 'There is no connection to the broker');
      await current.publish(topic, payload);
    },
    async close() {
      isClosing = true;
      const goodbye = current?.goodbye();
      current = null;
      await goodbye;
      closing.abort();
      await running;
    },
  };
}

/** Why a connection ended or did not come: in words, and the code where there is one. */
type Why = [reason: string, code?: string];

interface Connected {
  publish(topic: string, payload: string): Promise<void>;
  goodbye(): Promise<void>;
}

async function keepConnected(
  options: MqttLinkOptions,
  clock: Clock,
  closing: AbortSignal,
  events: LinkEvents,
  changed: (connected: Connected | null) => void,
): Promise<void> {
  for (let failures = 0; !closing.aborted; failures += 1) {
    const startedAt = clock.monotonic();
    const why = await connectOnce(options, clock, closing, events, changed);
    changed(null);
    if (closing.aborted) return;
    events.offline(...why);
    if (clock.monotonic() - startedAt >= STEADY_AFTER_MS) failures = 0;
    await clock.sleep(reconnectDelayMs(failures, Math.random()), closing);
  }
}

/** Connects, subscribes, says that it is there, and stays. @returns why it ended */
async function connectOnce(
  options: MqttLinkOptions,
  clock: Clock,
  closing: AbortSignal,
  events: LinkEvents,
  changed: (connected: Connected | null) => void,
): Promise<Why> {
  try {
    // Loaded here, so that a command that only looks at sensors does not pay for it.
    const { MqttClient } = (await import('mqtt')).default;
    const { birth, will } = await options.presence();
    const stream = options.dial ? await options.dial() : plainStream(options.url);
    if (closing.aborted) stream.destroy();
    // Its own way to a connection would load TLS, HTTP, WebSockets and SOCKS.
    const client = new MqttClient(() => stream, clientOptions(options, will));
    const end = endOf(client, stream, closing);
    const ready = limited(clock, READY_WITHIN_MS, () => end.now('the broker did not complete the connection in time'));
    try {
      await end.unless(begin(client, options, birth, events));
      ready();
      changed(connectedOf(client, end, will, clock));
      events.online();
      return await end.reason;
    } finally {
      ready();
      client.end(true);
    }
  } catch (cause) {
    return cause instanceof Broken ? cause.why : whyOf(cause);
  }
}

const whyOf = (cause: unknown): Why => {
  if (!(cause instanceof Error)) return [String(cause)];
  const reason = connectFault(cause);
  return 'code' in cause ? [reason || String(cause.code), String(cause.code)] : [reason];
};

/** Without Nagle's algorithm, which keeps a report back until the acknowledgement before it was acknowledged: 40 ms. */
const plainStream = (url: string): Duplex => connect({ ...addressOf(url), ...ADDRESS_PATIENCE, noDelay: true });

function addressOf(url: string): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 1883 : Number(port) };
}

const clientOptions = (options: MqttLinkOptions, will: RetainedMessage): IClientOptions => ({
  clientId: options.clientId,
  protocolVersion: 4,
  clean: true,
  keepalive: options.keepAliveSeconds,
  connectTimeout: CONNECT_WITHIN_MS,
  reconnectPeriod: 0,
  resubscribe: false,
  queueQoSZero: false,
  // Its cache holds a Buffer for every number of two bytes: 9 MiB, to save what an agent does once a minute.
  writeCache: false,
  will: { topic: will.topic, payload: Buffer.from(will.payload), qos: QOS, retain: true },
});

/** What waited for a connection gets this when it ends. */
class Broken extends Error {
  override readonly name = 'Broken';
  readonly why: Why;
  constructor(why: Why) {
    super(why[0]);
    this.why = why;
  }
}

/** How a connection ends. */
interface End {
  /** Why it ended, once it has. */
  readonly reason: Promise<Why>;
  /** Ends it. */
  now(reason: string): void;
  /** Waits for something unless the connection ends first; keeps nothing of it when it is done. */
  unless<T>(work: Promise<T>): Promise<T>;
}

/** An error alone never ends the process. */
function endOf(client: MqttClient, stream: Duplex, closing: AbortSignal): End {
  const { promise: reason, resolve } = Promise.withResolvers<Why>();
  // A race against one promise for years would keep every loser of it: the waiting are told one by one.
  const waiting = new Set<(cause: Error) => void>();
  let over: Error | null = null;
  const end = (why: Why): void => {
    over ??= new Broken(why);
    closing.removeEventListener('abort', closed);
    resolve(why);
    for (const reject of waiting) reject(over);
    waiting.clear();
  };
  const now = (said: string): void => end([said]);
  const closed = (): void => now('closed');
  let said: Why = ['the broker closed the connection'];
  const failed = (error: unknown): void => void (said = whyOf(error));
  client.on('error', failed);
  // The client itself is silent about some: an alert of TLS is one of them.
  stream.on('error', failed);
  client.on('close', () => end(said));
  closing.addEventListener('abort', closed);
  if (closing.aborted) closed();
  const unless = <T>(work: Promise<T>): Promise<T> =>
    new Promise<T>((done, reject) => {
      if (over) reject(over);
      else waiting.add(reject);
      void work.then(done, reject).finally(() => waiting.delete(reject));
    });
  return { reason, now, unless };
}

/** @returns what calls the limit off */
function limited(clock: Clock, ms: number, passed: () => void): () => void {
  const over = new AbortController();
  void clock.sleep(ms, over.signal).then(() => over.signal.aborted || passed());
  return () => over.abort();
}

/** Answers may come as soon as a report was sent, so subscriptions come first. */
async function begin(
  client: MqttClient,
  options: MqttLinkOptions,
  birth: RetainedMessage,
  events: LinkEvents,
): Promise<void> {
  await new Promise<void>((resolve) => client.once('connect', () => resolve()));
  client.on('message', (topic, payload) => events.message(topic, payload.toString('utf8')));
  // A SUBSCRIBE without a topic is a protocol error (MQTT 3.1.1, section 3.8.3).
  const wanted = [...options.subscriptions];
  const granted = wanted.length === 0 ? [] : await client.subscribeAsync(wanted, { qos: QOS });
  const refused = granted.find(({ qos }) => qos === 128);
  if (refused) throw new LinkError('link_refused', `The broker refused the subscription to ${refused.topic}`);
  await client.publishAsync(birth.topic, birth.payload, { qos: QOS, retain: true });
}

function connectedOf(client: MqttClient, end: End, will: RetainedMessage, clock: Clock): Connected {
  let inFlight = 0;
  const publish = async (topic: string, payload: string): Promise<void> => {
    if (inFlight >= MAX_IN_FLIGHT)
      throw new LinkError('link_busy', 'The broker has not acknowledged what was sent before');
    inFlight += 1;
    const acknowledged = limited(clock, ACKNOWLEDGE_WITHIN_MS, () => end.now('the broker acknowledges nothing'));
    try {
      await end.unless(client.publishAsync(topic, payload, { qos: QOS }));
    } catch (cause) {
      throw new LinkError('link_offline', 'The connection broke before the broker acknowledged', { cause });
    } finally {
      acknowledged();
      inFlight -= 1;
    }
  };
  return {
    publish,
    /** The will of this very connection is what ends its presence; a clean DISCONNECT keeps the broker from sending it. */
    async goodbye() {
      const said = client.publishAsync(will.topic, will.payload, { qos: QOS, retain: true });
      await Promise.race([said.catch(() => {}), end.reason, clock.sleep(GOODBYE_WITHIN_MS)]);
      await Promise.race([client.endAsync(), clock.sleep(GOODBYE_WITHIN_MS)]);
    },
  };
}
