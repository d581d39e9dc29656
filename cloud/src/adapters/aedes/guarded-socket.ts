import type { Socket } from 'node:net';
import type { Clock } from '../../ports.ts';
import { PacketGuard, type PacketBreach } from '../aedes-packet-guard.ts';
import type { PacketBudget } from './packet-budget.ts';

/** Packets up to here are not counted: a report is a few kB. */
const SMALL_PACKET_BYTES = 8_192;

interface GuardParts {
  readonly budget: PacketBudget;
  readonly clock: Pick<Clock, 'monotonic'>;
  /** Called when a packet may not be; nothing of it is read. */
  readonly breached: (breach: PacketBreach) => void;
}

/**
 * Stands between a socket and the broker's parser, which takes whatever length it is told. The broker reads when it can
 * (`socket.read()`); what it gets was counted first, and as long as there is no room for the packet it gets nothing, so
 * that TCP holds the sender up.
 */
export class GuardedSocket {
  readonly #socket: Socket;
  readonly #parts: GuardParts;
  readonly #guard = new PacketGuard();
  /** Who pays for the large packets; null until it has said who it is. */
  #owner: string | null = null;
  #giveBack: (() => void) | null = null;
  #isHeld = false;
  #packet = 0;
  #begunAt: number | null = null;

  constructor(socket: Socket, parts: GuardParts) {
    this.#socket = socket;
    this.#parts = parts;
    const read = socket.read.bind(socket);
    // With 0 the stream itself asks for more to be fetched, up to what it buffers.
    socket.read = (size?: number): unknown => (size === 0 ? read(0) : this.#isHeld ? null : this.#pass(read(size)));
    socket.once('close', () => this.#end());
  }

  /** It is let in, as this device. */
  letIn(deviceId: string): void {
    this.#owner = deviceId;
    if (this.#isHeld && this.#giveBack === null) this.#take(deviceId);
  }

  /** Whether a packet was begun that long ago and is not whole, while nothing but its sender held it up. */
  isLate(now: number, packetMs: number): boolean {
    return this.#begunAt !== null && !this.#isHeld && now - this.#begunAt > packetMs;
  }

  #pass(chunk: unknown): unknown {
    if (!(chunk instanceof Uint8Array)) return chunk;
    const breach = this.#guard.admit(chunk);
    if (breach !== null) {
      this.#parts.breached(breach);
      return null;
    }
    this.#follow();
    return chunk;
  }

  #follow(): void {
    const { number, isBegun, bytes } = this.#guard;
    if (number !== this.#packet || !isBegun) this.#end();
    if (!isBegun) return;
    this.#packet = number;
    this.#begunAt ??= this.#parts.clock.monotonic();
    // The first one says who it is: nobody can pay for it, and it is not large.
    if (bytes <= SMALL_PACKET_BYTES || number === 1 || this.#giveBack !== null) return;
    this.#isHeld = true;
    if (this.#owner !== null) this.#take(this.#owner);
  }

  #take(owner: string): void {
    let isAtOnce = true;
    const granted = (): void => {
      this.#isHeld = false;
      this.#begunAt = this.#parts.clock.monotonic();
      if (!isAtOnce) setImmediate(() => this.#socket.emit('readable'));
    };
    this.#giveBack = this.#parts.budget.take({ owner, bytes: this.#guard.bytes, granted });
    isAtOnce = false;
  }

  #end(): void {
    this.#isHeld = false;
    this.#begunAt = null;
    this.#giveBack?.();
    this.#giveBack = null;
  }
}
