import type { DesiredError } from '@paddock/shared/desired.ts';

/** Applies one key of desired state. */
export interface DesiredHandler {
  /**
   * Soon, and the same again changes nothing: it is called at each start and with each version.
   * @param value undefined when the key is gone: then the device's own settings hold
   * @returns why it could not be applied
   */
  apply(value: unknown): Promise<DesiredError | null>;
  /** Of a key whose value comes to hold, or fails, long after it was applied: why it does not hold now. */
  standing?(): DesiredError | null;
}
