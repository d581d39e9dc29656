import type { Packet } from 'mqtt-packet';

/** Who said a packet. */
export type Side = 'client' | 'broker';
export type PacketKind = Packet['cmd'];

/** What a hostile network does to a single packet, in the order in which a draw is compared with their shares. */
export const DEEDS = ['drop', 'repeat', 'delay', 'reorder', 'cut'] as const;
export type Deed = (typeof DEEDS)[number];

/** A rule: what happens to some packets. The first one that fits a packet is the one that counts. */
export interface Trouble {
  readonly from: Side;
  /** Which packets; absent means every kind. */
  readonly packets?: readonly PacketKind[];
  /** Of messages only those whose topic ends so, such as `/report`. */
  readonly topic?: string;
  /** How likely each deed is, from 0 to 1, together at most 1. What is left passes. */
  readonly shares: Partial<Readonly<Record<Deed, number>>>;
  /** How long a delayed packet is kept: every time between these two is as likely. */
  readonly delayMs?: readonly [least: number, most: number];
}

/** What becomes of one packet. */
export type Fate =
  | { readonly deed: 'pass' | 'drop' | 'repeat' | 'reorder' | 'cut' }
  | { readonly deed: 'delay'; readonly ms: number };

const PASS: Fate = { deed: 'pass' };
const DELAY_MS = [5, 200] as const;

/** @param random draws twice for each packet that a rule fits, and never otherwise: the same packets, the same fates */
export function fateOf(troubles: readonly Trouble[], from: Side, packet: Packet, random: () => number): Fate {
  const trouble = troubles.find((candidate) => fits(candidate, from, packet));
  if (trouble === undefined) return PASS;
  const [draw, length] = [random(), random()];
  const deed = deedOf(trouble, draw);
  if (deed !== 'delay') return { deed };
  const [least, most] = trouble.delayMs ?? DELAY_MS;
  return { deed, ms: Math.round(least + length * (most - least)) };
}

function fits({ from, packets, topic }: Trouble, side: Side, packet: Packet): boolean {
  if (from !== side || packets?.includes(packet.cmd) === false) return false;
  return topic === undefined || (packet.cmd === 'publish' && packet.topic.endsWith(topic));
}

function deedOf({ shares }: Trouble, draw: number): Deed | 'pass' {
  let left = draw;
  for (const deed of DEEDS) {
    const share = shares[deed] ?? 0;
    if (left < share) return deed;
    left -= share;
  }
  return 'pass';
}
