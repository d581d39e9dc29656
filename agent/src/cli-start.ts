import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { uptimeMs } from '@paddock/shared/time.ts';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import manifest from '../package.json' with { type: 'json' };
import { linePrefix } from './adapters/journal.ts';
import { createJsonLog } from './adapters/json-log.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { createTreeCalls } from './adapters/tree-calls.ts';
import type { StartedAs } from './own-release.ts';
import { chooseAgent, type Starts } from './start/choose-agent.ts';
import { AGENT_IN_SLOT, agentThatRuns } from './start/which.ts';

/** Documented in `--help`. Everything else is the agent's own exit code. */
const EXIT = { ok: 0, usage: 2 } as const;

const HELP = `Usage: paddock-start --slots <dir> [options] -- <what the agent is called with>

Becomes the agent: that of the release that the launcher runs, where it has one, or the
package's own. The agent of a release that ended five times, each time within ten
minutes, is put aside until there is another release, or another boot. It is what the
service starts; by hand, call paddock-agent.

Options:
  --slots <dir>    the directory of the slots; it may be missing
  --starts <file>  where starts are counted, gone with the boot
                   (default: agent-starts.json in $RUNTIME_DIRECTORY)
  --version        show the version
  --help           show this

Examples:
  $ paddock-start --slots /var/lib/paddock/slots -- run --config /etc/paddock/agent.yaml

Exit codes:
  2  the command line is wrong; every other one is the agent's`;

const STARTS_FILE = 'agent-starts.json';
const Kept = Compile(
  Type.Object({
    sha256: Type.String(),
    starts: Type.Integer(),
    lastAt: Type.Number({ minimum: 0 }),
    isRefused: Type.Boolean(),
  }),
);

interface Options {
  readonly slots: string;
  readonly startsFile: string | null;
  readonly args: readonly string[];
}

type Log = ReturnType<typeof createJsonLog>;

interface Chosen {
  readonly program: string;
  readonly started: StartedAs;
}

/**
 * Becomes the agent, or sets the process's exit code.
 * @param own the package's agent
 */
export function startAgent(args: readonly string[], own: string): void {
  const options = optionsOf(args);
  if (options === null) return;
  const log = createJsonLog('info', { program: 'start' }, linePrefix(process.env['JOURNAL_STREAM']));
  let chosen: Chosen = { program: own, started: {} };
  try {
    chosen = choose(options, own, log);
  } catch (cause) {
    log.error({ err: cause, code: 'start_slots_unread' }, "The slots cannot be read: the package's own agent runs");
  }
  const flags = [...process.execArgv, chosen.program, ...options.args];
  process.execve?.(process.execPath, [process.execPath, ...flags], { ...process.env, ...chosen.started });
}

/** @returns null when nothing is to be started: the answer was printed */
function optionsOf(args: readonly string[]): Options | null {
  const end = args.indexOf('--');
  try {
    const { values } = parseArgs({
      args: end < 0 ? [...args] : args.slice(0, end),
      options: {
        slots: { type: 'string' },
        starts: { type: 'string' },
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
    if (values.help || values.version) {
      process.stdout.write(`${values.help ? HELP : manifest.version}\n`);
      return null;
    }
    if (!values.slots || end < 0) throw new Error('--slots <dir> and -- with what the agent is called with are needed');
    const { RUNTIME_DIRECTORY } = process.env;
    const startsFile = values.starts ?? (RUNTIME_DIRECTORY ? join(RUNTIME_DIRECTORY, STARTS_FILE) : null);
    return { slots: values.slots, startsFile, args: args.slice(end + 1) };
  } catch (cause) {
    process.stderr.write(`error: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    process.exitCode = EXIT.usage;
    return null;
  }
}

function choose({ slots, startsFile }: Options, own: string, log: Log): Chosen {
  if (!existsSync(slots)) return { program: own, started: {} };
  const agent = agentThatRuns(createTreeCalls(slots));
  const { runsSlot, starts } = chooseAgent(agent, readStarts(startsFile), createSystemClock().monotonic());
  if (starts !== null && startsFile !== null) writeFileSync(startsFile, JSON.stringify(starts));
  const refused = starts?.isRefused === true ? starts.sha256 : '';
  const release = runsSlot ? agent : null;
  tell(log, { agent: release?.slot ?? 'package', sha256: release?.sha256, starts: starts?.starts }, refused);
  return {
    program: release === null ? own : join(slots, release.slot, AGENT_IN_SLOT),
    started: {
      PADDOCK_AGENT_SLOTS: slots,
      PADDOCK_AGENT_RELEASE: release?.sha256 ?? '',
      PADDOCK_AGENT_REFUSED: refused,
    },
  };
}

function tell(log: Log, about: object, refused: string): void {
  if (refused === '') return log.info({ ...about, code: 'start_agent' }, 'The agent is started');
  const words = "The release's agent ends again and again: the package's own runs";
  log.error({ ...about, refused, code: 'start_refused' }, words);
}

/** Null as well for what cannot be read: it is counted anew. */
function readStarts(file: string | null): Starts | null {
  if (file === null || !existsSync(file)) return null;
  try {
    const kept: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return Kept.Check(kept) ? { ...kept, lastAt: uptimeMs(kept.lastAt) } : null;
  } catch {
    return null;
  }
}
