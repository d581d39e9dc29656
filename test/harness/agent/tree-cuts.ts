import type { TreeFiles } from './tree-files.ts';

/** Small numbers that look random and are the same every time. */
export function* draws(seed: number): Generator<number> {
  for (let state = seed; ;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    yield state / 0x7fffffff;
  }
}

const WAYS = ['all', 'none', 'torn', 'zeros'] as const;
/** Of the newest of what was not durable each alone is left out, torn, or there. */
const NEWEST = 8;

/**
 * What may be left of what was not durable: all, nothing, each alone missing or torn, and some at random.
 * @param drawn how many at random
 */
export function* leftAfterCut(files: TreeFiles, random: Iterator<number>, drawn = 24): Generator<TreeFiles> {
  const { pending } = files;
  yield files.afterCut(() => 'all');
  if (pending.length === 0) return;
  yield files.afterCut(() => 'none');
  for (let at = Math.max(0, pending.length - NEWEST); at < pending.length; at += 1) {
    yield files.afterCut((_, index) => (index === at ? 'none' : 'all'));
    yield files.afterCut((effect, index) => (index === at && effect.kind === 'content' ? 'torn' : 'all'));
    yield files.afterCut((_, index) => (index === at ? 'all' : 'none'));
  }
  for (let draw = 0; draw < drawn; draw += 1) {
    const ways = pending.map(() => WAYS[Math.floor(Number(random.next().value) * WAYS.length)] ?? 'all');
    yield files.afterCut((_, index) => ways[index] ?? 'all');
  }
}
