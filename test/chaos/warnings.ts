import { readFileSync } from 'node:fs';

/** pino's number of a warning. */
const WARN = 40;

interface LogLine {
  readonly level: number;
  readonly code?: string;
  readonly part?: string;
  readonly err?: { readonly code?: string };
  readonly msg?: string;
}

/** Warnings and errors of some log files, counted by their code. */
export function warnings(logs: readonly string[]): Record<string, number> {
  const counts = new Map<string, number>();
  for (const line of logs.flatMap((log) => readFileSync(log, 'utf8').split('\n'))) {
    const parsed = parseLine(line);
    if (parsed === null || parsed.level < WARN) continue;
    const name = nameOf(parsed);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return Object.fromEntries(counts);
}

const nameOf = ({ code, part, err, msg }: LogLine): string => code ?? err?.code ?? part ?? `"${msg ?? ''}"`;

/** Null for what is no log line: the service's own words, and what a kill cut short. */
function parseLine(line: string): LogLine | null {
  try {
    return line.startsWith('{"level"') ? (JSON.parse(line) as LogLine) : null;
  } catch {
    return null;
  }
}
