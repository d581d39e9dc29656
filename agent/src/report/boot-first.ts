import type { Trigger } from '@paddock/shared/report.ts';
import type { Reporter } from './reporter.ts';

/** What the boot report tells just as well, because it has the whole state. */
const TOLD_BY_BOOT: ReadonlySet<Trigger['kind']> = new Set(['boot', 'change', 'schedule', 'desired', 'firmware']);

/**
 * The boot report is the first of a start, whatever there is to tell before it (docs/protocol.md, section 5): what is
 * state waits and is told by it, anything else has it made at once.
 * @param settled when there is something to say; asked for now
 */
export function bootFirst(reporter: Reporter, settled: () => Promise<void>): Reporter {
  let boot: ReturnType<Reporter['report']> | null = null;
  const begin = (): ReturnType<Reporter['report']> => (boot ??= reporter.report({ kind: 'boot' }));
  const begun = settled().then(begin);
  return {
    ...reporter,
    report(trigger, happened) {
      if (boot === null && TOLD_BY_BOOT.has(trigger.kind)) return begun;
      void begin();
      return reporter.report(trigger, happened);
    },
  };
}
