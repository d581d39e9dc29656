import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_EVERY_MS = 50;
/** Generous: what is waited for here takes seconds on an idle machine. */
const WITHIN_MS = 120_000;
/** Of a log only its end. */
const LAST_CHARS = 1_000;

/**
 * Waits until `look` has something to give.
 * @param state what there is to say of it meanwhile
 * @param progress waiting begins anew whenever this changes
 * @throws Error that names what never came, with its state
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | null | undefined | false>,
  state: () => string = () => '',
  progress: () => number = () => 0,
): Promise<T> {
  let until = performance.now() + WITHIN_MS;
  let before = progress();
  for (;;) {
    const seen = await look();
    if (seen !== null && seen !== undefined && seen !== false) return seen;
    if (progress() !== before) until = performance.now() + WITHIN_MS;
    before = progress();
    if (performance.now() > until)
      throw new Error(`Waited ${WITHIN_MS / 1000} s in vain for ${what}. ${state().slice(-LAST_CHARS)}`.trim());
    await sleep(LOOK_EVERY_MS);
  }
}
