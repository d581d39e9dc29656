import { writeSync } from 'node:fs';

/** As pino has them. */
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50, fatal: 60 } as const;
type Level = keyof typeof LEVELS;
type Tell = (fields: object, message: string) => void;

/**
 * Lines of JSON on standard error, in the form of the agent's, without the library that writes those.
 * @param prefix what each begins with
 */
export function createJsonLog(
  least: Level,
  base: object,
  prefix: (level: number) => string,
): Readonly<Record<Level, Tell>> {
  const tell =
    (level: Level): Tell =>
    (fields, message) => {
      if (LEVELS[level] < LEVELS[least]) return;
      const line = { level: LEVELS[level], time: Date.now(), ...base, ...withError(fields), msg: message };
      try {
        writeSync(2, `${prefix(LEVELS[level])}${JSON.stringify(line)}\n`);
      } catch {
        // A log that nobody reads must not end what it tells of.
      }
    };
  return { debug: tell('debug'), info: tell('info'), warn: tell('warn'), error: tell('error'), fatal: tell('fatal') };
}

function withError(fields: object): object {
  if (!('err' in fields) || !(fields.err instanceof Error)) return fields;
  const { name, message, stack } = fields.err;
  return { ...fields, err: { type: name, message, stack } };
}
