/**
 * Why a batch could not be recorded:
 * - passing: the database is away, overloaded or restarting; the same batch will do later
 * - payload: the database can never hold this content, however often it comes
 * - ours: a defect on our side; the device keeps its report and sends it again
 */
export type Failure = 'passing' | 'payload' | 'ours';

/** SQLSTATE classes (PostgreSQL, appendix A) that end a try: 22 data exception, 54 program limit, 23 and 42 our own. */
const FAILURE_OF_CLASS: Readonly<Record<string, Failure>> = { 22: 'payload', 54: 'payload', 23: 'ours', 42: 'ours' };

export function failureOf(cause: unknown): Failure {
  // JSON nested deeper than the stack: the same bytes fail for ever.
  if (cause instanceof RangeError) return 'payload';
  if (cause instanceof TypeError || cause instanceof ReferenceError || cause instanceof SyntaxError) return 'ours';
  if (!(cause instanceof Error) || !('code' in cause) || typeof cause.code !== 'string') return 'passing';
  if (/^[0-9A-Z]{5}$/.test(cause.code)) return FAILURE_OF_CLASS[cause.code.slice(0, 2)] ?? 'passing';
  // Node's system errors: ECONNREFUSED, ECONNRESET, EPIPE.
  return cause.code.startsWith('E') ? 'passing' : 'ours';
}
