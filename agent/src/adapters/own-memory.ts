import koffi from 'koffi';

/** prctl(2) */
const PR_SET_DUMPABLE = 4;

/**
 * Keeps other programs of the same user out of this process: from its memory (ptrace, /proc/PID/mem), and from what
 * only it can see (/proc/PID/root). The programs that the launcher runs have the same user, and the key is not theirs.
 */
export function keepOthersOut(): void {
  koffi.load(null).func('int prctl(int, ulong, ulong, ulong, ulong)')(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
