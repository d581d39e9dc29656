import { pino, type Logger, type LoggerOptions } from 'pino';

/** JSON lines on standard error, one a call. */
export const createLog = (level: NonNullable<LoggerOptions['level']>): Logger =>
  pino({ level, serializers: { err: plainError } }, pino.destination({ dest: 2, sync: true }));

/**
 * What a log line says of an error. Nothing else that a library hangs on it: the database's errors carry their
 * client, with the key that cancels its statements and what it connects with.
 */
export function plainError(error: unknown): unknown {
  if (!(error instanceof Error)) return String(error);
  const { name, message, stack, cause } = error;
  const code = 'code' in error ? error.code : undefined;
  return { type: name, message, code, stack, ...(cause !== undefined && { cause: plainError(cause) }) };
}
