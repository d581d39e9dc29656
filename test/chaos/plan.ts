import { randomOf } from '../harness/random.ts';

/** What is struck, and how: `kill` is kill -9 of a process, `network` is a connection between two of them in trouble. */
export const KINDS = {
  agent: 'kill',
  cloud: 'kill',
  database: 'kill',
  broker: 'kill',
  'agent-network': 'network',
  'cloud-network': 'network',
  'database-network': 'network',
} as const satisfies Record<string, 'kill' | 'network'>;
export type Kind = keyof typeof KINDS;

/** What a network does: it resets connections, or carries nothing for a while, and then goes on or resets them. */
export const TROUBLES = ['cut', 'stall', 'stall-and-cut'] as const;

export interface Blow {
  readonly kind: Kind;
  /** Which of several such parts is struck: from 0 to 1. */
  readonly which: number;
  /** Time since the blow before it, in ms: whatever is being started again by then is hit in the middle of it. */
  readonly afterMs: number;
  /** Whether it comes only when the cloud has answered somebody again, so that a slow machine gets that far at all. */
  readonly afterAnswer: boolean;
  /** Of a network. Nobody waits for its end. */
  readonly trouble: (typeof TROUBLES)[number];
  readonly lastsMs: number;
}

interface Pause {
  readonly share: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** How often one of these is drawn: at once, while all is being started again, or when it may have settled. */
const PAUSES = {
  kill: [
    { share: 0.2, fromMs: 0, toMs: 200 },
    { share: 0.5, fromMs: 200, toMs: 2_000 },
    { share: 0.3, fromMs: 2_000, toMs: 4_000 },
  ],
  network: [{ share: 1, fromMs: 0, toMs: 800 }],
} as const satisfies Record<'kill' | 'network', readonly Pause[]>;
const ANSWER_SHARE = 0.2;
const STALL_MS = { least: 200, most: 3_000 } as const;

export const isKill = ({ kind }: Pick<Blow, 'kind'>): boolean => KINDS[kind] === 'kill';

/**
 * Round after round every kind once, in an order and at moments that are drawn anew.
 * @param kills how many of the blows are kills; the network's come on top
 */
export function planBlows(seed: number, kinds: readonly Kind[], kills: number): Blow[] {
  const random = randomOf(seed);
  const plan: Blow[] = [];
  let left = kills;
  while (left > 0) {
    const round = kinds.map((kind) => ({ kind, draw: random() })).toSorted((a, b) => a.draw - b.draw);
    for (const { kind } of round) {
      if (left === 0) break;
      plan.push(blow(kind, random));
      if (KINDS[kind] === 'kill') left -= 1;
    }
  }
  return plan;
}

function blow(kind: Kind, random: () => number): Blow {
  const afterMs = pause(PAUSES[KINDS[kind]], random);
  const [which, how, long] = [random(), random(), random()];
  return {
    kind,
    which,
    afterMs,
    afterAnswer: random() < ANSWER_SHARE,
    trouble: TROUBLES[Math.floor(how * TROUBLES.length)] ?? 'cut',
    lastsMs: Math.round(STALL_MS.least + long * (STALL_MS.most - STALL_MS.least)),
  };
}

function pause(pauses: readonly Pause[], random: () => number): number {
  let draw = random();
  const chosen = pauses.find(({ share }) => (draw -= share) < 0) ?? pauses.at(-1);
  const { fromMs, toMs } = chosen ?? { fromMs: 0, toMs: 0 };
  return Math.round(fromMs + random() * (toMs - fromMs));
}
