import { createTask, validateDetailed } from 'node-cron';
import type { Scheduler } from '../ports.ts';

/** Enough runs to see a working day of the default schedule and its night. */
const RUNS_LOOKED_AT = 300;
const quiet = { info() {}, warn() {}, error() {}, debug() {} };

export class CronError extends Error {
  override readonly name = 'CronError';
  readonly code = 'schedule_invalid';
}

/** Tasks by cron expression (five fields, or six with seconds), on the machine's wall clock and zone. */
export const cronScheduler: Scheduler = {
  schedule(cron, task) {
    const running = createTask(cron, task, { logger: quiet, suppressMissedWarning: true });
    void running.start();
    return () => void running.destroy();
  },
};

/**
 * The longest time between two runs, in ms: how long silence may last without meaning anything.
 * @throws CronError `schedule_invalid`
 */
export function longestGapMs(cron: string): number {
  const { valid, errors } = validateDetailed(cron);
  if (!valid) throw new CronError(`"${cron}" is not a cron expression: ${errors.map((e) => e.message).join('; ')}`);
  const runs = createTask(cron, () => {}).getNextRuns(RUNS_LOOKED_AT);
  return runs.reduce((longest, run, i) => Math.max(longest, run.getTime() - (runs[i - 1] ?? run).getTime()), 0);
}
