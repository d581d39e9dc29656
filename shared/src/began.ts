import type { Static } from 'typebox';
import * as Type from 'typebox';
import { Count } from './message.ts';

/**
 * Why a start of the agent, or a boot of the machine, ended. The wire takes any word of this form, so that a newer agent
 * can say more.
 */
export const END_REASONS = {
  power: 'The machine lost its power, or was reset: nothing says that it was shut down',
  watchdog: 'A watchdog struck: that of the hardware, or that of the service manager',
  kernel_panic: 'The kernel broke, and left word of it',
  agent_crash: 'The agent broke: by an error that nobody caught, by a signal, or without a word',
  out_of_memory: 'There was no memory left, for the agent or for its heap',
  update: 'An update switched to another release',
  command: 'A command asked for it',
  clean: 'It was stopped in good order',
  unknown: 'Nothing is known of it',
} as const satisfies Record<string, string>;
export type EndReason = keyof typeof END_REASONS;

/** What a reason is based on. */
export const END_BASES = {
  'new-boot': 'the machine was booted since',
  'no-clean-end': 'nothing says that the agent was stopped before',
  'clean-end': 'the agent wrote down that it was stopped',
  'machine-stayed': 'the machine was not being shut down when the agent stopped',
  'stop-begun': 'the agent was told to stop, and did not get to the end of it',
  'uncaught-error': 'the agent wrote down the error that ended it',
  'node-report': 'Node wrote a report of an error from which it cannot go on',
  supervisor: 'the service manager said how the process ended',
  'own-oom-kills': 'the kernel killed for memory in the control group of the agent',
  'machine-oom-kills': 'the kernel killed somebody for memory meanwhile',
  'kernel-log': 'the log of the kernel says so',
  'watchdog-status': 'the watchdog of the hardware says that it reset the machine',
  pstore: 'the kernel kept what it said at last',
  'other-release': 'the agent runs another version than before',
  'first-start': 'there was no start before this one',
  'no-record': 'the flight recorder has nothing of the start before',
} as const satisfies Record<string, string>;
export type EndBasis = keyof typeof END_BASES;

/** One line for people: no control characters. */
const Line = Type.String({ maxLength: 128, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' });

const Why = Type.Object({
  reason: Type.String({ pattern: '^[a-z][a-z0-9_]{0,31}$' }),
  /** What says so; the most telling first. */
  basedOn: Type.Array(Type.String({ pattern: '^[a-z][a-z0-9-]{0,31}$' }), { maxItems: 8 }),
  /** The signal, the name of the error, the watchdog, the release. */
  detail: Type.Optional(Line),
});
export type Why = Static<typeof Why>;

/** Random in appearance, and the same for the same crash however often it is told. */
export const CrashId = Type.String({ pattern: '^[A-Za-z0-9_-]{16,43}$' });

/** Why this start of the agent began: what became of the one before. In reports until the first answer of a start. */
export const Began = Type.Object({
  /** Why the start before ended. */
  agent: Why,
  /** Why the machine was booted; absent when it is the boot of the start before. */
  machine: Type.Optional(Why),
  /** The last sign of life of the start before, as its flight recorder has it. */
  before: Type.Optional(
    Type.Object({
      start: Count,
      boot: Type.Object({ id: Type.String({ minLength: 1, maxLength: 64 }) }),
      segment: Type.Optional(Count),
      uptimeMs: Count,
      /** For how long it ran, from its begin to that sign of life. */
      ranMs: Count,
    }),
  ),
  /** The crash report that tells more. */
  crash: Type.Optional(CrashId),
});
export type Began = Static<typeof Began>;

/** What is wrong with the machine, as it says itself. The wire takes any word of this form. */
export const TROUBLES = {
  disk_errors: 'The file system has counted errors of its disk',
  disk_failing: 'Reading or writing failed with an error of the disk',
  disk_read_only: 'The data directory cannot be written to',
  temperature_high: 'A part is as hot as it may get',
  undervoltage: 'The supply is below what the machine needs',
  memory_pressure: 'Programs wait for memory',
  memory_kills: 'The kernel has killed programs for memory in this boot',
} as const satisfies Record<string, string>;
export type TroubleCode = keyof typeof TROUBLES;

export const Trouble = Type.Object({
  code: Type.String({ pattern: '^[a-z][a-z0-9_]{0,31}$' }),
  /** Which part: a disk, a zone. */
  part: Type.Optional(Type.String({ maxLength: 64, pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$' })),
  count: Type.Optional(Count),
});
export type Trouble = Static<typeof Trouble>;

export const MAX_TROUBLES = 16;
