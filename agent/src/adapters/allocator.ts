import koffi from 'koffi';

/** mallopt(3) */
const M_TRIM_THRESHOLD = -1;
const M_MMAP_THRESHOLD = -3;
/** What is larger is a mapping of its own. */
const MAPPED_BYTES = 65_536;

/**
 * Has the C library give back to the system what was freed. By itself it keeps large blocks for the next ones, and an
 * update goes through many times the memory that it has at any one moment. A library that knows nothing of this is left
 * as it is.
 */
export function giveBackFreedMemory(): void {
  try {
    const mallopt = koffi.load(null).func('int mallopt(int, int)');
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_TRIM_THRESHOLD, MAPPED_BYTES);
  } catch {
    // musl has no such call, and needs none.
  }
}
