import { Transform, type TransformCallback } from 'node:stream';
import { MqttFrames, type Frame } from './mqtt-frames.ts';
import { fateOf, type Deed, type Fate, type PacketKind, type Side, type Trouble } from './mqtt-trouble.ts';
import { randomOf } from './random.ts';
import { startTcpRelay, type Target, type TcpRelay } from './tcp-relay.ts';

/** A message that passed, as it was seen between a client and its broker. */
export interface Passed {
  readonly clientId: string;
  readonly from: Side;
  readonly topic: string;
  readonly payload: string;
}

/** What was done to packets, as `client publish drop`: how often. */
export type Deeds = Readonly<Partial<Record<`${Side} ${PacketKind} ${Deed}`, number>>>;

export interface MqttRelay extends TcpRelay {
  readonly url: string;
  /** From now on these rules hold, in connections that stand as well; none means peace. */
  trouble(troubles: readonly Trouble[]): void;
  deeds(): Deeds;
}

export interface MqttRelayOptions {
  /** Hears of every message that is passed on, repeats included; says nothing about who read it. */
  readonly passed?: (message: Passed) => void;
  readonly troubles?: readonly Trouble[];
  /** The same packets meet the same fates for the same seed. */
  readonly seed?: number;
}

/** How long a packet that shall come late waits for another one to go before it. */
const REORDER_WITHIN_MS = 200;
/** Far enough apart that the draws of two lanes have nothing to do with each other. */
const LANE_SEEDS = 7_919;

/**
 * Stands between MQTT clients and a broker that may be killed and come back elsewhere: keeps one address, tells of
 * every message, and does to single packets whatever the rules say. Packets that are let through go as they came.
 * @param target where the broker is now, or null while there is none
 */
export async function startMqttRelay(target: () => Target | null, options: MqttRelayOptions = {}): Promise<MqttRelay> {
  let troubles = options.troubles ?? [];
  const deeds = new Map<string, number>();
  let lanes = 0;
  const relay = await startTcpRelay(target, (cut) => {
    const who = { clientId: '' };
    const laneOf = (from: Side): Transform => {
      const random = randomOf((options.seed ?? 1) * LANE_SEEDS + (lanes += 1));
      return new PacketLane({
        from,
        cut,
        fate: ({ packet }) => (packet === null ? { deed: 'pass' } : fateOf(troubles, from, packet, random)),
        did(deed, { packet }) {
          const name = `${from} ${packet?.cmd ?? ''} ${deed}`;
          deeds.set(name, (deeds.get(name) ?? 0) + 1);
        },
        passed({ packet }) {
          if (packet?.cmd === 'connect') who.clientId = packet.clientId;
          if (packet?.cmd === 'publish')
            options.passed?.({ ...who, from, topic: packet.topic, payload: packet.payload.toString('latin1') });
        },
      });
    };
    return { fromClient: laneOf('client'), fromServer: laneOf('broker') };
  });
  return {
    ...relay,
    url: `mqtt://127.0.0.1:${relay.port}`,
    trouble: (rules) => void (troubles = rules),
    deeds: () => Object.fromEntries(deeds),
  };
}

interface LaneParts {
  readonly from: Side;
  readonly cut: () => void;
  readonly fate: (frame: Frame) => Fate;
  readonly did: (deed: Deed, frame: Frame) => void;
  readonly passed: (frame: Frame) => void;
}

/** One direction of one connection, packet by packet. */
class PacketLane extends Transform {
  readonly #parts: LaneParts;
  readonly #frames = new MqttFrames();
  readonly #timers = new Set<NodeJS.Timeout>();
  #held: Frame[] = [];
  #isCut = false;

  constructor(parts: LaneParts) {
    super();
    this.#parts = parts;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (const frame of this.#frames.add(chunk)) if (!this.#isCut) this.#meet(frame, this.#parts.fate(frame));
    done();
  }

  override _flush(done: TransformCallback): void {
    for (const timer of this.#timers) clearTimeout(timer);
    done();
  }

  #meet(frame: Frame, fate: Fate): void {
    if (fate.deed === 'pass') return this.#pass(frame);
    this.#parts.did(fate.deed, frame);
    switch (fate.deed) {
      case 'drop':
        return;
      case 'repeat':
        this.#pass(frame);
        return this.#pass(frame);
      case 'delay':
        return this.#later(fate.ms, () => this.#send(frame));
      case 'reorder':
        this.#held.push(frame);
        return this.#later(REORDER_WITHIN_MS, () => this.#release());
      case 'cut':
        this.#isCut = true;
        return this.#parts.cut();
    }
  }

  /** What was held back comes right after the packet that came after it. */
  #pass(frame: Frame): void {
    this.#send(frame);
    this.#release();
  }

  #release(): void {
    for (const held of this.#held.splice(0)) this.#send(held);
  }

  #send(frame: Frame): void {
    if (this.#isCut || this.destroyed || this.writableEnded) return;
    this.push(frame.bytes);
    this.#parts.passed(frame);
  }

  #later(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }
}
