import type { EndBasis, EndReason, Why } from '@paddock/shared/began.ts';
import type { FoundTraces, SupervisorWord } from '../ports-past.ts';
import type { EndWord, PastRun } from './runs.ts';

/** All that is known of how the start before ended. */
export interface Evidence {
  /** Null: the recorder has nothing of it. */
  readonly run: PastRun | null;
  /** There never was another start. */
  readonly isFirst: boolean;
  /** The number of the start before, which is durable: a run of another number is not it. Null: that count was lost. */
  readonly startBefore: number | null;
  readonly bootId: string;
  readonly version: string;
  readonly traces: FoundTraces;
}

export interface Verdict {
  readonly agent: Why;
  /** Null when the machine was not booted since. */
  readonly machine: Why | null;
}

/** One line of a table: the first that fits decides. */
interface Rule {
  readonly reason: EndReason;
  /** Null: it does not fit. */
  readonly fits: (evidence: Known) => Found | null;
}

interface Found {
  readonly basedOn: readonly EndBasis[];
  readonly detail?: string | undefined;
}

interface Known {
  readonly run: PastRun;
  readonly traces: FoundTraces;
  readonly version: string;
}

/**
 * Why this start began, and why the machine was booted if it was. Pure. What names its cause itself comes before what
 * could have several: a panic that a watchdog ended is a panic, and says both. Where nothing names a cause, what is
 * missing speaks, and `basedOn` says that it is no more than that.
 */
export function decide(evidence: Evidence): Verdict {
  const { run, isFirst, startBefore, bootId, traces, version } = evidence;
  if (isFirst) return { agent: why('unknown', { basedOn: ['first-start'] }), machine: null };
  if (run === null || (startBefore !== null && run.start !== startBefore)) return withoutRecord(traces);
  const known = { run, traces, version };
  if (bootId.startsWith(run.bootId))
    return { agent: firstOf(AGENT, known) ?? why('agent_crash', NOTHING_SAID), machine: null };
  const machine = firstOf(MACHINE, known) ?? why('power', { basedOn: [...NOTHING_SAID.basedOn, 'new-boot'] });
  return { machine, agent: firstOf(AGENT_BEFORE_BOOT, known) ?? machine };
}

/** What the machine says is about its boot, whenever the agent wrote down what; what ended the agent is not known. */
function withoutRecord(traces: FoundTraces): Verdict {
  const found = panicked(traces) ?? barked(traces);
  const reason = traces.panics.length > 0 ? 'kernel_panic' : 'watchdog';
  const basedOn: EndBasis[] = ['no-record'];
  if (found === null) return { agent: why('unknown', { basedOn }), machine: null };
  const machine = why(reason, { ...found, basedOn: [...found.basedOn, ...basedOn] });
  return { agent: machine, machine };
}

const panicked = ({ panics, watchdogs }: FoundTraces): Found | null =>
  panics.length === 0
    ? null
    : {
        basedOn: ['pstore', ...(watchdogs.length > 0 ? (['watchdog-status'] as const) : [])],
        detail: panics[0]?.title,
      };

const barked = ({ watchdogs }: FoundTraces): Found | null =>
  watchdogs.length === 0 ? null : { basedOn: ['watchdog-status'], detail: watchdogs.join(', ') };

const endsBy =
  (how: EndWord['how']) =>
  ({ run: { end } }: Known): Found | null =>
    end?.kind === 'end' && end.more['how'] === how
      ? { basedOn: ['clean-end'], detail: text(end.more['detail']) }
      : null;

/** It began to end for this, and the rest of it hung. */
const beganToEndBy =
  (how: EndWord['how']) =>
  ({ run: { end, stopping } }: Known): Found | null =>
    end === null && stopping?.more['how'] === how
      ? { basedOn: ['stop-begun'], detail: text(stopping.more['detail']) }
      : null;

/** By its own word; or it was told to, and the rest of it hung. */
function endedCleanly({ run }: Known): Found | null {
  if (run.end?.kind === 'end') return { basedOn: ['clean-end'] };
  return run.stopping !== null && run.end === null ? { basedOn: ['stop-begun'] } : null;
}

/** It ended in good order while the machine stayed, so its end does not tell why the machine was booted. */
const stayed =
  (hows: readonly EndWord['how'][], basedOn: EndBasis) =>
  ({ run: { end } }: Known): Found | null =>
    end?.kind === 'end' && end.more['goesDown'] === false && hows.some((how) => end.more['how'] === how)
      ? { basedOn: ['machine-stayed', basedOn] }
      : null;

const afterBoot = (found: Found | null): Found | null => found && { ...found, basedOn: [...found.basedOn, 'new-boot'] };

const MACHINE: readonly Rule[] = [
  { reason: 'kernel_panic', fits: ({ traces }) => afterBoot(panicked(traces)) },
  { reason: 'watchdog', fits: ({ traces }) => afterBoot(barked(traces)) },
  // It would have been started again at once.
  { reason: 'power', fits: (known) => afterBoot(stayed(['update'], 'no-clean-end')(known)) },
  // Somebody had stopped it: nobody watched from there on.
  { reason: 'unknown', fits: (known) => afterBoot(stayed(['clean', 'command'], 'clean-end')(known)) },
  { reason: 'update', fits: (known) => afterBoot(endsBy('update')(known)) },
  { reason: 'command', fits: (known) => afterBoot(endsBy('command')(known)) },
  { reason: 'clean', fits: (known) => afterBoot(endedCleanly(known)) },
];
const NOTHING_SAID: Found = { basedOn: ['no-clean-end'] };

/** The agent's own end, where it is known that it came before the machine's. */
const AGENT_BEFORE_BOOT: readonly Rule[] = [
  { reason: 'out_of_memory', fits: heapFull },
  { reason: 'agent_crash', fits: uncaught },
  { reason: 'command', fits: (known) => stayed(['command'], 'clean-end')(known) && endsBy('command')(known) },
  { reason: 'clean', fits: (known) => stayed(['clean'], 'clean-end')(known) && endedCleanly(known) },
];

const AGENT: readonly Rule[] = [
  { reason: 'out_of_memory', fits: heapFull },
  { reason: 'out_of_memory', fits: ({ traces }) => bySupervisor(traces.supervisor, ['oom-kill']) },
  { reason: 'out_of_memory', fits: killedForMemory },
  { reason: 'watchdog', fits: ({ traces }) => bySupervisor(traces.supervisor, ['watchdog']) },
  { reason: 'agent_crash', fits: uncaught },
  { reason: 'update', fits: updated },
  { reason: 'command', fits: endsBy('command') },
  { reason: 'clean', fits: (known) => (known.run.end?.kind === 'end' ? endedCleanly(known) : null) },
  { reason: 'agent_crash', fits: ({ traces }) => bySupervisor(traces.supervisor, BROKEN) },
  { reason: 'update', fits: beganToEndBy('update') },
  { reason: 'command', fits: beganToEndBy('command') },
  { reason: 'clean', fits: endedCleanly },
];

/** Results of systemd (systemd.exec(5), $SERVICE_RESULT) that say that the program broke. */
const BROKEN = ['exit-code', 'signal', 'core-dump', 'timeout', 'start-limit-hit', 'resources', 'protocol'];

function bySupervisor(word: SupervisorWord | null, results: readonly string[]): Found | null {
  if (word === null || !results.includes(word.result)) return null;
  return { basedOn: ['supervisor'], detail: `${word.code} ${word.status}`.trim() || undefined };
}

/** V8's heap had no room: Node says so before it aborts. Another fatal error of Node's is no lack of memory. */
function heapFull({ traces: { fatal } }: Known): Found | null {
  return fatal !== null && /heap|out of memory/i.test(fatal.event)
    ? { basedOn: ['node-report'], detail: fatal.event }
    : null;
}

/** Somebody was killed for memory while it ran, and it has no end of its own: most telling first. */
function killedForMemory({ run, traces: { oomKills, killed } }: Known): Found | null {
  if (run.end !== null) return null;
  const { pid, ownOomKills, machineOomKills } = run.began;
  if (typeof pid === 'number' && killed.includes(pid)) return { basedOn: ['kernel-log'], detail: `process ${pid}` };
  const rose = (before: unknown, now: number | null): boolean =>
    typeof before === 'number' && now !== null && now > before;
  if (rose(ownOomKills, oomKills.own)) return { basedOn: ['own-oom-kills', 'no-clean-end'] };
  return rose(machineOomKills, oomKills.machine) ? { basedOn: ['machine-oom-kills', 'no-clean-end'] } : null;
}

function uncaught({ run, traces: { fatal } }: Known): Found | null {
  if (run.end?.kind === 'error') return { basedOn: ['uncaught-error'], detail: text(run.end.more['name']) };
  return fatal === null ? null : { basedOn: ['node-report'], detail: fatal.event };
}

/** An end in order, and another version since. */
function updated(known: Known): Found | null {
  const { run, version } = known;
  const said = endsBy('update')(known);
  if (said !== null) return said;
  const before = text(run.began['version']);
  if (run.end?.kind !== 'end' || before === undefined || before === version) return null;
  return { basedOn: ['other-release', 'clean-end'], detail: `${before} to ${version}` };
}

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

function firstOf(rules: readonly Rule[], known: Known): Why | null {
  for (const { reason, fits } of rules) {
    const found = fits(known);
    if (found !== null) return why(reason, found);
  }
  return null;
}

const MOST_DETAIL = 128;

const why = (reason: EndReason, { basedOn, detail }: Found): Why => ({
  reason,
  basedOn: [...basedOn],
  ...(detail !== undefined && { detail: detail.replaceAll(/\p{Cc}+/gu, ' ').slice(0, MOST_DETAIL) }),
});
