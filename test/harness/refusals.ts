import { Refusal, type RefusalCode } from '@paddock/shared/errors.ts';

/** @returns the code of the refusal, or null when the work was done. Anything else that is thrown is thrown on. */
export async function refusalOf(work: () => unknown): Promise<RefusalCode | null> {
  try {
    await work();
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}
