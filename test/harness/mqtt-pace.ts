import { PassThrough, Transform, type TransformCallback } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { MqttFrames } from './mqtt-frames.ts';
import { startTcpRelay, type Target, type TcpRelay } from './tcp-relay.ts';

/** Passes MQTT on as AWS IoT Core does: so many messages a second to each connection, the others wait. */
export const startPacedRelay = (target: () => Target | null, perSecond: number): Promise<TcpRelay> =>
  startTcpRelay(target, () => ({ fromClient: new PassThrough(), fromServer: new PacedLane(1_000 / perSecond) }));

class PacedLane extends Transform {
  readonly #everyMs: number;
  readonly #frames = new MqttFrames();
  #nextAt = 0;

  constructor(everyMs: number) {
    super();
    this.#everyMs = everyMs;
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#pass(chunk).then(() => done(), done);
  }

  /** By a timetable, so that timers that are late do not add up. */
  async #pass(chunk: Buffer): Promise<void> {
    for (const { bytes, packet } of this.#frames.add(chunk)) {
      if (packet?.cmd === 'publish') {
        const now = performance.now();
        this.#nextAt = Math.max(now, this.#nextAt) + this.#everyMs;
        await sleep(this.#nextAt - now);
      }
      this.push(bytes);
    }
  }
}
