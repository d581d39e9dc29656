/** The code of what this throws; null when it throws nothing. */
export function thrownCode(work: () => unknown): unknown {
  try {
    work();
    return null;
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error;
  }
}
