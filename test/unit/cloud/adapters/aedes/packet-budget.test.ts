import { expect, it } from 'vitest';
import { PacketBudget } from '@paddock/cloud/adapters/aedes/packet-budget.ts';

const LARGEST = 2_097_152;

/** Asks for room, and says whether it was given. */
function ask(budget: PacketBudget, owner: string, bytes = LARGEST) {
  const asked = { isGranted: false, giveBack: (): void => undefined };
  asked.giveBack = budget.take({ owner, bytes, granted: () => (asked.isGranted = true) });
  return asked;
}

it('gives one device room for two packets, and the others theirs', () => {
  const budget = new PacketBudget();
  const greedy = Array.from({ length: 32 }, () => ask(budget, 'kiosk-0001'));
  expect(greedy.filter(({ isGranted }) => isGranted)).toHaveLength(2);
  expect(ask(budget, 'kiosk-0002', 20_000).isGranted).toBe(true);
  greedy[0]?.giveBack();
  expect(greedy.filter(({ isGranted }) => isGranted)).toHaveLength(3);
});

it('lets who finds no room wait in the order of coming, so that a large packet is not overtaken for ever', () => {
  const budget = new PacketBudget();
  const full = Array.from({ length: 32 }, (_, n) => ask(budget, `kiosk-${n}`));
  expect(full.every(({ isGranted }) => isGranted)).toBe(true);
  const [large, small] = [ask(budget, 'kiosk-large'), ask(budget, 'kiosk-small', 8_193)];
  expect([large.isGranted, small.isGranted]).toEqual([false, false]);
  full[0]?.giveBack();
  expect([large.isGranted, small.isGranted]).toEqual([true, false]);
  full[1]?.giveBack();
  expect(small.isGranted).toBe(true);
});

it('forgets who does not wait any more, and takes room back once', () => {
  const budget = new PacketBudget();
  const full = Array.from({ length: 32 }, (_, n) => ask(budget, `kiosk-${n}`));
  const [gone, next, last] = ['gone', 'next', 'last'].map((owner) => ask(budget, owner));
  gone?.giveBack();
  full[0]?.giveBack();
  full[0]?.giveBack();
  expect([gone, next, last].map((asked) => asked?.isGranted)).toEqual([false, true, false]);
});
