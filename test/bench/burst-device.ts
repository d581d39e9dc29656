import { connect, type Socket } from 'node:net';
import { generate, parser, type Packet } from 'mqtt-packet';
import { reconnectDelayMs } from '@paddock/agent/adapters/mqtt-delay.ts';
import type { Answer } from '@paddock/shared/answer.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import { nonceOf, type Script } from './burst-script.ts';

/** What devices count together. */
export interface Tally {
  connections: number;
  refused: number;
  broken: number;
  sends: number;
  answers: number;
  /** From handing an event to the connection to its commit, in ms. */
  readonly liveMs: number[];
  /** From the first try to connect to the answer that opens the connection, in ms. */
  readonly openedMs: number[];
  readonly paces: Map<number, number>;
}

export const newTally = (): Tally => ({
  connections: 0,
  refused: 0,
  broken: 0,
  sends: 0,
  answers: 0,
  liveMs: [],
  openedMs: [],
  paces: new Map(),
});

/** As the agent: section 7 of docs/protocol.md, and the bounds of its outbox and its link. */
const AGAIN_IN_FLIGHT = 8;
const RESEND_PER_SECOND = 20;
const ANSWER_WITHIN_MS = 30_000;
const ACKNOWLEDGE_WITHIN_MS = 60_000;
const CONNECT_WITHIN_MS = 10_000;
const STEADY_AFTER_MS = 30_000;
const KEEP_ALIVE_S = 30;
/** A broker that says nothing for so many periods is gone. */
const KEEP_ALIVE_PERIODS = 1.5;

/**
 * A device after an outage, on a raw connection: opens with a report that asks, sends again what its answer shows
 * missing at the pace that answers allow, ends the batch with a report that asks, and sends events between all that.
 * It has no timers: whoever runs many calls {@link tick}.
 */
export class BurstDevice {
  readonly #script: Script;
  readonly #port: number;
  readonly #tally: Tally;
  #socket: Socket | null = null;
  #online = false;
  #opened = false;
  #caughtUp = false;
  #recorded = new Set<number>();
  #again: number[] = [];
  /** Sent in this connection and not acknowledged: since when. */
  readonly #unacknowledged = new Map<number, number>();
  readonly #asked = new Map<number, { since: number; attempts: number }>();
  readonly #sentLive = new Map<number, number>();
  #perSecond = RESEND_PER_SECOND;
  #nextAgainAt = 0;
  #connectAt = 0;
  #connectingSince = 0;
  #onlineSince = 0;
  #saidAt = 0;
  #heardAt = 0;
  #failures = 0;
  readonly #startedAt: number;

  constructor(script: Script, port: number, tally: Tally, now: number) {
    this.#script = script;
    this.#port = port;
    this.#tally = tally;
    this.#startedAt = now;
  }

  get isOpen(): boolean {
    return this.#opened;
  }

  /** Whether answers cover everything that waited, its opening and its end. */
  get hasCaughtUp(): boolean {
    return this.#caughtUp;
  }

  /** Whether they cover every event as well. */
  get isDone(): boolean {
    return this.#recorded.size === this.#script.backlog + 2 + this.#sentLive.size;
  }

  get events(): number {
    return this.#sentLive.size;
  }

  /** Sends an event of the script as it happens. @returns false when there is no connection, or none is left */
  live(now: number): boolean {
    const sequence = this.#script.backlog + 2 + this.#sentLive.size;
    if (!this.#online || sequence >= this.#script.envelopes.length) return false;
    this.#sentLive.set(sequence, now);
    this.#send(sequence, now);
    return true;
  }

  tick(now: number): void {
    if (this.#socket === null) {
      if (now >= this.#connectAt) this.#connect(now);
    } else if (!this.#online) {
      if (now - this.#connectingSince > CONNECT_WITHIN_MS) this.#socket.destroy();
    } else this.#tickOnline(now);
  }

  close(): void {
    this.#connectAt = Infinity;
    this.#socket?.destroy();
  }

  #tickOnline(now: number): void {
    const [oldest = now] = this.#unacknowledged.values();
    const silent = now - this.#heardAt > KEEP_ALIVE_PERIODS * KEEP_ALIVE_S * 1000;
    if (now - oldest > ACKNOWLEDGE_WITHIN_MS || silent) return void this.#socket?.destroy();
    if (now - this.#saidAt > KEEP_ALIVE_S * 1000) this.#write({ cmd: 'pingreq' }, now);
    for (const [sequence, { since, attempts }] of this.#asked)
      if (now - since > ANSWER_WITHIN_MS * 2 ** (attempts - 1)) this.#send(sequence, now);
    if (this.#opened && now >= this.#nextAgainAt && this.#unacknowledged.size < AGAIN_IN_FLIGHT) this.#sendAgain(now);
  }

  /** One more of the batch; after its last the report that asks about it. */
  #sendAgain(now: number): void {
    const sequence = this.#again.shift();
    if (sequence === undefined) return;
    this.#nextAgainAt = Math.max(this.#nextAgainAt + 1000 / this.#perSecond, now - 1000);
    if (!this.#recorded.has(sequence)) this.#send(sequence, now);
    const end = this.#script.backlog + 1;
    if (this.#again.length === 0 && !this.#asked.has(end)) this.#send(end, now);
  }

  #connect(now: number): void {
    this.#connectingSince = now;
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    const incoming = parser();
    incoming.on('packet', (packet) => this.#receive(packet, performance.now()));
    socket.on('connect', () =>
      this.#write(
        {
          cmd: 'connect',
          protocolId: 'MQTT',
          protocolVersion: 4,
          clean: true,
          clientId: this.#script.deviceId,
          keepalive: KEEP_ALIVE_S,
        },
        performance.now(),
      ),
    );
    socket.on('data', (chunk: Buffer) => void incoming.parse(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#lost(performance.now()));
  }

  #lost(now: number): void {
    if (this.#online) this.#tally.broken += 1;
    else this.#tally.refused += 1;
    if (this.#online && now - this.#onlineSince > STEADY_AFTER_MS) this.#failures = 0;
    this.#socket = null;
    this.#online = this.#opened = false;
    this.#unacknowledged.clear();
    this.#asked.clear();
    if (this.#connectAt === Infinity) return;
    this.#connectAt = now + reconnectDelayMs(this.#failures, Math.random());
    this.#failures += 1;
  }

  #receive(packet: Packet, now: number): void {
    this.#heardAt = now;
    const { deviceId } = this.#script;
    if (packet.cmd === 'connack') {
      const subscriptions = [{ topic: topicOf('answer', deviceId), qos: 1 }] as const;
      this.#write({ cmd: 'subscribe', messageId: 1, subscriptions: [...subscriptions] }, now);
    }
    if (packet.cmd === 'suback') this.#open(now);
    if (packet.cmd === 'puback') this.#unacknowledged.delete((packet.messageId ?? 0) - 2);
    if (packet.cmd === 'publish') {
      this.#write({ cmd: 'puback', messageId: packet.messageId ?? 0 }, now);
      this.#answered(readAnswer(packet.payload), now);
    }
  }

  #open(now: number): void {
    this.#online = true;
    this.#onlineSince = now;
    this.#tally.connections += 1;
    this.#send(this.#script.backlog, now);
    for (const sequence of this.#sentLive.keys()) if (!this.#recorded.has(sequence)) this.#send(sequence, now);
  }

  #answered(answer: Answer, now: number): void {
    this.#tally.answers += 1;
    const { backlog } = this.#script;
    const sequence = [...this.#asked.keys()].find((asked) => answer.nonce === nonceOf(asked));
    if (sequence === undefined) return;
    for (const [first, last] of answer.recorded) for (let at = first; at <= last; at += 1) this.#recorded.add(at);
    this.#caughtUp ||= this.#lacks(backlog + 2).length === 0;
    this.#asked.delete(sequence);
    this.#perSecond = answer.resendPerSecond ?? RESEND_PER_SECOND;
    this.#tally.paces.set(this.#perSecond, (this.#tally.paces.get(this.#perSecond) ?? 0) + 1);
    const live = this.#sentLive.get(sequence);
    if (live !== undefined) this.#tally.liveMs.push(Date.parse(answer.sentAt) - performance.timeOrigin - live);
    if (!this.#opened && sequence === backlog) this.#openedBy(now);
    else if (sequence !== backlog + 1) return;
    this.#again = this.#lacks(backlog);
    this.#nextAgainAt = now;
  }

  /** Of the first so many sequences those that no answer calls recorded. */
  #lacks(count: number): number[] {
    return Array.from({ length: count }, (_, at) => at).filter((at) => !this.#recorded.has(at));
  }

  #openedBy(now: number): void {
    this.#opened = true;
    this.#tally.openedMs.push(now - this.#startedAt);
  }

  #send(sequence: number, now: number): void {
    const { deviceId, envelopes, backlog } = this.#script;
    const topic = topicOf('report', deviceId);
    const payload = envelopes[sequence] ?? '';
    this.#tally.sends += 1;
    this.#unacknowledged.set(sequence, now);
    if (sequence >= backlog)
      this.#asked.set(sequence, { since: now, attempts: (this.#asked.get(sequence)?.attempts ?? 0) + 1 });
    this.#write({ cmd: 'publish', topic, payload, qos: 1, messageId: sequence + 2, dup: false, retain: false }, now);
  }

  #write(packet: Packet, now: number): void {
    this.#saidAt = now;
    this.#socket?.write(generate(packet));
  }
}

/** Without verifying: what is measured is the cloud. */
function readAnswer(payload: Buffer | string): Answer {
  const [, content = ''] = payload.toString().split('.');
  return JSON.parse(Buffer.from(content, 'base64url').toString()) as Answer;
}
