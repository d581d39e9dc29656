/** What one check of the doctor came to. */
export interface Finding {
  readonly check: string;
  readonly status: 'ok' | 'warn' | 'fail';
  readonly code?: string;
  /** What was found, and what to do about it where there is something to do. */
  readonly message: string;
}
