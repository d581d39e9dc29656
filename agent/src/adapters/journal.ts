import { fstatSync } from 'node:fs';

const STDERR = 2;
/** What journald calls pino's levels (syslog.h); trace and debug are below. */
const PRIORITIES = [
  [60, 2],
  [50, 3],
  [40, 4],
  [30, 6],
] as const satisfies readonly (readonly [level: number, priority: number])[];
const DEBUG = 7;

/** What a line of the log begins with, by its level. */
export type LinePrefix = (level: number) => string;

/**
 * Where standard error goes to systemd's journal: what that takes off a line, and knows its priority by. Nothing
 * elsewhere; systemd names the stream, because who is started by a service may have another one.
 */
export const linePrefix = (stream: string | undefined): LinePrefix =>
  stream !== undefined && stream === errorStream() ? journalPrefix : () => '';

export const journalPrefix: LinePrefix = (level) => `<${PRIORITIES.find(([least]) => level >= least)?.[1] ?? DEBUG}>`;

function errorStream(): string | null {
  try {
    const { dev, ino } = fstatSync(STDERR, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
