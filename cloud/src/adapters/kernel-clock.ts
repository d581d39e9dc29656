import koffi from 'koffi';
import type { KernelClock, KernelEstimate } from '../ports.ts';

/** Places in `struct timex` of Linux where long has 64 bits, counted in words of 8 bytes (linux/timex.h). */
const WORD = { maxError: 3, estimatedError: 4, status: 5 } as const;
/** The structure has 208 bytes; room for one that grows. */
const WORDS = 64;
/** The clock is not synchronized to anything, or the kernel holds its error for too large (adjtimex(2)). */
const STA_UNSYNC = 0x40;
const STA_CLOCKERR = 0x1000;
const TIME_ERROR = 5;

/** What the kernel knows of its clock's error, by adjtimex(2) with nothing to set; null where it cannot be asked. */
export function openKernelClock(): KernelClock {
  const adjtimex = loadAdjtimex();
  return {
    estimate() {
      const words = new BigInt64Array(WORDS);
      const state = adjtimex?.(words) ?? -1;
      return state < 0 ? null : estimateOf(state, words);
    },
  };
}

/** Not every system has it, and not every container may call it: then nothing is known. */
function loadAdjtimex(): ((words: BigInt64Array) => number) | null {
  if (process.platform !== 'linux') return null;
  try {
    return koffi.load(null).func('int adjtimex(_Inout_ void *)');
  } catch {
    return null;
  }
}

/** @param state what adjtimex returned; @returns null when the clock is not synchronized */
export function estimateOf(state: number, words: BigInt64Array): KernelEstimate | null {
  const word = (at: number): bigint => words[at] ?? 0n;
  // An int: only the lower half of its word counts.
  const status = Number(BigInt.asUintN(32, word(WORD.status)));
  if (state === TIME_ERROR || (status & (STA_UNSYNC | STA_CLOCKERR)) !== 0) return null;
  return {
    maxErrorMs: Number(word(WORD.maxError)) / 1000,
    estimatedErrorMs: Number(word(WORD.estimatedError)) / 1000,
  };
}
