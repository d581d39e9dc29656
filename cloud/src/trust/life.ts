import { wallMs, type WallMs } from '@paddock/shared/time.ts';
import { TrustError } from './errors.ts';

const DAY_MS = 86_400_000;
/** Long before: the next one has to be listed, and devices have to hear of it, some of them after months of sleep. */
const SOON_MS = 90 * DAY_MS;

export interface Mortal {
  readonly notAfter: WallMs;
}

/**
 * An authority that has ended says nothing against those beside it.
 * @param all in their order
 * @throws TrustError `ca_unfit` when all of them have ended
 */
export function livingOf<A extends Mortal>(all: readonly A[], now: WallMs): A[] {
  const living = all.filter((one) => isAlive(one, now));
  if (living.length === 0) throw new TrustError('ca_unfit', 'it has expired');
  return living;
}

export const isAlive = ({ notAfter }: Mortal, now: WallMs): boolean => now < notAfter;

export const endsSoon = ({ notAfter }: Mortal, now: WallMs): boolean => wallMs(now + SOON_MS) > notAfter;
