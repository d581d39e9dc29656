import { randomOf } from '../harness/random.ts';

/** What is killed. */
export const KINDS = ['agent', 'cloud', 'database', 'broker'] as const;
export type Kind = (typeof KINDS)[number];

export interface Kill {
  readonly kind: Kind;
  /** Time since the kill before it, in ms: whatever is being started again by then is hit in the middle of it. */
  readonly afterMs: number;
}

/** How often one of these is drawn: at once, while all is being started again, or when it may have settled. */
const PAUSES = [
  { share: 0.2, fromMs: 0, toMs: 200 },
  { share: 0.5, fromMs: 200, toMs: 2_000 },
  { share: 0.3, fromMs: 2_000, toMs: 4_500 },
] as const;

/** Round after round every kind once, in an order and at moments that are drawn anew. */
export function planKills(seed: number, kinds: readonly Kind[], count: number): Kill[] {
  const random = randomOf(seed);
  const plan: Kill[] = [];
  while (plan.length < count) {
    const round = kinds.map((kind) => ({ kind, draw: random() })).toSorted((a, b) => a.draw - b.draw);
    plan.push(...round.map(({ kind }) => ({ kind, afterMs: pause(random) })));
  }
  return plan.slice(0, count);
}

function pause(random: () => number): number {
  let draw = random();
  for (const { share, fromMs, toMs } of PAUSES) {
    if (draw < share) return Math.round(fromMs + random() * (toMs - fromMs));
    draw -= share;
  }
  return PAUSES[0].toMs;
}
