import type { Random } from './random.ts';
import { HOUR, MINUTE, SECOND } from './spans.ts';

type Range = readonly [low: number, high: number];
interface NetworkKind {
  readonly weight: number;
  readonly kind: string;
  /** The least delay of each direction. */
  readonly upMs: Range;
  readonly downMs: Range;
  /** Mean of what comes on top, as a share of the least delay. */
  readonly jitter: Range;
  /** Share of messages that wait for a retransmission, are lost, and arrive twice. */
  readonly stalled: number;
  readonly lost: Range;
  readonly repeated: number;
  /** TCP to the far end: what was sent first arrives first. */
  readonly ordered: boolean;
}

const NETWORKS = [
  {
    weight: 30,
    kind: 'wired',
    upMs: [3, 20],
    downMs: [3, 20],
    jitter: [0.1, 0.5],
    stalled: 0.002,
    lost: [0, 0.002],
    repeated: 0.001,
    ordered: true,
  },
  {
    weight: 34,
    kind: 'mobile',
    upMs: [20, 70],
    downMs: [15, 50],
    jitter: [0.4, 1.5],
    stalled: 0.03,
    lost: [0, 0.02],
    repeated: 0.005,
    ordered: true,
  },
  {
    weight: 8,
    kind: 'lopsided-up',
    upMs: [150, 600],
    downMs: [8, 30],
    jitter: [0.5, 1.5],
    stalled: 0.02,
    lost: [0, 0.02],
    repeated: 0.005,
    ordered: true,
  },
  {
    weight: 5,
    kind: 'lopsided-down',
    upMs: [8, 30],
    downMs: [150, 600],
    jitter: [0.5, 1.5],
    stalled: 0.02,
    lost: [0, 0.02],
    repeated: 0.005,
    ordered: true,
  },
  {
    weight: 5,
    kind: 'satellite',
    upMs: [260, 330],
    downMs: [250, 300],
    jitter: [0.05, 0.3],
    stalled: 0.02,
    lost: [0, 0.03],
    repeated: 0.005,
    ordered: true,
  },
  {
    weight: 5,
    kind: 'slow',
    upMs: [120, 380],
    downMs: [120, 380],
    jitter: [0.5, 1.5],
    stalled: 0.08,
    lost: [0.01, 0.05],
    repeated: 0.02,
    ordered: true,
  },
  {
    weight: 7,
    kind: 'lossy',
    upMs: [25, 90],
    downMs: [25, 90],
    jitter: [0.5, 2],
    stalled: 0.05,
    lost: [0.08, 0.25],
    repeated: 0.05,
    ordered: false,
  },
  {
    weight: 6,
    kind: 'jittery',
    upMs: [15, 50],
    downMs: [15, 50],
    jitter: [3, 9],
    stalled: 0.05,
    lost: [0, 0.03],
    repeated: 0.1,
    ordered: false,
  },
] as const satisfies readonly NetworkKind[];
export type NetworkName = (typeof NETWORKS)[number]['kind'];

/** How long an outage lasts, and how often such a one is met. */
const OUTAGES = [
  { weight: 72, lastsMs: [MINUTE, 30 * MINUTE] },
  { weight: 26, lastsMs: [30 * MINUTE, 6 * HOUR] },
  { weight: 2, lastsMs: [6 * HOUR, 60 * HOUR] },
] as const;

/** The way between one device and the cloud: its delays, losses and repeats, each message for itself. */
export class Network {
  readonly kind: NetworkName;
  readonly #random: Random;
  readonly #row: NetworkKind;
  readonly #least: Readonly<Record<'up' | 'down', number>>;
  readonly #jitter: number;
  readonly #lost: number;
  readonly #outageEveryMs: number;
  #lastArrival = { up: 0, down: 0 };
  /** Queues on the way fill up for a while: delays are so many times longer. */
  #congestion = 1;
  #congestionUntil = 0;

  constructor(random: Random) {
    this.#random = random;
    const picked = random.pick(NETWORKS);
    const row: NetworkKind = picked;
    this.kind = picked.kind;
    this.#row = row;
    this.#least = { up: random.between(...row.upMs), down: random.between(...row.downMs) };
    this.#jitter = random.between(...row.jitter);
    this.#lost = random.between(...row.lost);
    this.#outageEveryMs = random.logBetween(12 * HOUR, 10 * 24 * HOUR);
  }

  untilNextOutage(): number {
    return this.#random.exponential(this.#outageEveryMs);
  }

  outageLasts(): number {
    return this.#random.logBetween(...this.#random.pick(OUTAGES).lastsMs);
  }

  /** @returns when each copy of a message sent at `at` arrives: none when it is lost, two when it is repeated */
  send(direction: 'up' | 'down', at: number): number[] {
    if (this.#random.chance(this.#lost)) return [];
    const first = this.#inOrder(direction, at + this.#delay(direction, at));
    if (!this.#random.chance(this.#row.repeated)) return [first];
    return [first, first + this.#random.logBetween(1, 40 * SECOND)];
  }

  #delay(direction: 'up' | 'down', at: number): number {
    const least = this.#least[direction];
    const queue = this.#random.exponential(least * this.#jitter) * this.#congestionAt(at);
    const stalled = this.#random.chance(this.#row.stalled) ? this.#random.logBetween(200, 6 * SECOND) : 0;
    return least + queue + stalled;
  }

  #inOrder(direction: 'up' | 'down', arrival: number): number {
    if (!this.#row.ordered) return arrival;
    this.#lastArrival[direction] = Math.max(arrival, this.#lastArrival[direction]);
    return this.#lastArrival[direction];
  }

  #congestionAt(at: number): number {
    while (at >= this.#congestionUntil) {
      const congested = this.#congestion === 1 && this.#congestionUntil > 0;
      this.#congestion = congested ? this.#random.logBetween(2, 30) : 1;
      this.#congestionUntil += this.#random.exponential(congested ? 40 * MINUTE : 12 * HOUR);
    }
    return this.#congestion;
  }
}
