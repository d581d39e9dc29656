import pino, { type Logger } from 'pino';

/**
 * Lines of JSON on standard error.
 * @param prefix what each begins with
 */
export function createAgentLog(level: string, base: object, prefix: (level: number) => string): Logger {
  const stderr = pino.destination({ fd: 2, sync: true });
  return pino({ level, base }, { write: (line) => void stderr.write(prefix(levelOf(line)) + line) });
}

/** It stands first in every line of pino's. */
const levelOf = (line: string): number => Number(/^\{"level":(\d+)/.exec(line)?.[1]);
