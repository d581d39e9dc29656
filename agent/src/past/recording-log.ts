import { codeOf, type Log } from '../report/log.ts';
import type { Level, More } from './entry.ts';
import type { Recorder } from './recorder.ts';

const MOST_FIELDS = 6;
const MOST_CHARS = 64;

/** What a disk says that fails. */
const DISK_CODES = new Set(['EIO', 'EUCLEAN', 'ENXIO']);

/**
 * A log of which everything from `info` on is a breadcrumb, too: whatever feature says something, the recorder has it.
 * @param diskFailed hears of an error that only a disk that fails makes
 */
export function recordingLog(log: Log, recorder: Pick<Recorder, 'note'>, diskFailed: () => void): Log {
  const note = (level: Level, fields: object, message: string): void => {
    const more = moreOf(fields);
    if (DISK_CODES.has(String(more['code']))) diskFailed();
    recorder.note(level, message, more);
  };
  return {
    debug: (fields, message) => log.debug(fields, message),
    info(fields, message) {
      note('info', fields, message);
      log.info(fields, message);
    },
    warn(fields, message) {
      note('warn', fields, message);
      log.warn(fields, message);
    },
    error(fields, message) {
      note('error', fields, message);
      log.error(fields, message);
    },
  };
}

/** Of what a line says its plain values, and of an error its code and message: a few, and short. */
function moreOf({ err, ...fields }: { readonly err?: unknown }): More {
  const error = err instanceof Error ? { code: codeOf(err), error: err.message } : {};
  const more: Record<string, string | number | boolean> = {};
  for (const [name, value] of Object.entries<unknown>({ ...error, ...fields })) {
    if (Object.keys(more).length >= MOST_FIELDS) break;
    if (typeof value === 'string') more[name] = value.slice(0, MOST_CHARS);
    else if (typeof value === 'number' || typeof value === 'boolean') more[name] = value;
  }
  return more;
}
