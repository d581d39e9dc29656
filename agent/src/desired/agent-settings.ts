import { DesiredAgent, type LogLevel } from '@paddock/shared/desired.ts';
import { Check } from 'typebox/value';
import { errorOf } from './apply.ts';
import type { DesiredHandler } from './handler.ts';

/** What of the agent can be set while it runs. */
export interface AgentControls {
  /** @param schedule null: that of the agent's file */
  readonly setSchedule: (schedule: { readonly cron: string; readonly gapMs: number } | null) => void;
  /** @param level null: that of the agent's file */
  readonly setLogLevel: (level: LogLevel | null) => void;
  /** The longest time between two runs, in ms. @throws an error when it is no cron expression */
  readonly gapMs: (cron: string) => number;
}

/**
 * The key `agent`: settings that win over those of the agent's file, as long as the key is there. What they are does not
 * depend on what was there before, so a value that is not good leaves those of the file.
 */
export const agentSettings = ({ setSchedule, setLogLevel, gapMs }: AgentControls): DesiredHandler => ({
  async apply(value) {
    const isGood = value === undefined || Check(DesiredAgent, value);
    const { schedule, logLevel } = isGood ? (value ?? {}) : {};
    const gap = schedule === undefined ? null : gapOf(gapMs, schedule);
    const isComing = typeof gap === 'number' && gap > 0;
    setLogLevel(logLevel ?? null);
    setSchedule(isComing && schedule !== undefined ? { cron: schedule, gapMs: gap } : null);
    if (!isGood) return errorOf('desired_value_invalid');
    if (gap === null || isComing) return null;
    return errorOf('schedule_invalid', typeof gap === 'string' ? gap : 'it never comes');
  },
});

/** @returns why there is none, in words */
function gapOf(gapMs: AgentControls['gapMs'], cron: string): number | string {
  try {
    return gapMs(cron);
  } catch (cause) {
    return cause instanceof Error ? cause.message : String(cause);
  }
}

/** The key `firmware` of an agent that installs nothing. */
export const NO_FIRMWARE: DesiredHandler = {
  apply: async (value) => (value === undefined ? null : errorOf('firmware_not_configured')),
};
