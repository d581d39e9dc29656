import { createHash } from 'node:crypto';
import { readdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { FoundPanic, FoundTraces, SupervisorWord, Traces } from '../ports-past.ts';
import { readHead, readTail } from './traces/bounded.ts';
import { killedIn, kernelLines } from './traces/kernel-log.ts';

/** Where a unit writes down how the agent ended: `ExecStopPost`, see docs/operations.md. */
export const SUPERVISOR_FILE = 'ended';
/** Node's report of an error from which it cannot go on. */
export const NODE_REPORT_FILE = 'fatal.json';

/** WDIOF_CARDRESET (linux/watchdog.h): the last boot was a reset by this card. */
const CARD_RESET = 0x20;
const MOST_PANIC_FILES = 32;
const MOST_PANIC_BYTES = 32_768;
const MOST_REPORT_BYTES = 1_048_576;
const MOST_STACK_LINES = 64;
/** Where the kernel keeps what it said at last; and where systemd-pstore brings it at boot, and tidies up itself. */
const PSTORE = 'sys/fs/pstore';
const SYSTEMD_PSTORE = 'var/lib/systemd/pstore';

/** @param root what stands for the root of the file system, in tests */
export function createTraces(dataDir: string, root = '/'): Traces {
  const own = (name: string): string => join(dataDir, name);
  return {
    async look() {
      const kernel = kernelLines(join(root, 'dev/kmsg'));
      const [watchdogs, panics, supervisor, fatal, oomKills] = await Promise.all([
        watchdogResets(root),
        panicsIn(root),
        supervisorWord(own(SUPERVISOR_FILE)),
        nodeReport(own(NODE_REPORT_FILE)),
        oomKillCounts(root),
      ]);
      return {
        pid: process.pid,
        watchdogs,
        panics,
        supervisor,
        fatal,
        oomKills,
        killed: killedIn(kernel),
        kernel: kernel.join('\n'),
      };
    },
    async begin() {
      await Promise.all([SUPERVISOR_FILE, NODE_REPORT_FILE].map((name) => unlink(own(name)).catch(() => {})));
      const { report } = process;
      report.directory = dataDir;
      report.filename = NODE_REPORT_FILE;
      report.compact = true;
      // Or it would look up the names of all who are connected.
      Object.assign(report, { excludeNetwork: true });
      report.excludeEnv = true;
      report.reportOnFatalError = true;
    },
    async takeAway(files) {
      await Promise.all(files.map((file) => unlink(file).catch(() => {})));
    },
  };
}

async function watchdogResets(root: string): Promise<string[]> {
  const dir = join(root, 'sys/class/watchdog');
  const names = (await readdir(dir).catch(() => [])).toSorted(byName);
  const states = await Promise.all(
    names.map((name) => readFile(join(dir, name, 'bootstatus'), 'utf8').catch(() => '')),
  );
  // A driver that knows nothing says 0; one that says nonsense says nothing.
  return names.filter((_name, at) => (Number(states[at]) & CARD_RESET) !== 0);
}

async function panicsIn(root: string): Promise<FoundPanic[]> {
  const own = await panicOf(join(root, PSTORE), true);
  const archive = join(root, SYSTEMD_PSTORE);
  const kept = await readdir(archive).catch(() => []);
  const archived = await Promise.all(
    kept
      .toSorted(byName)
      .slice(-MOST_PANIC_FILES)
      .map((name) => panicOf(join(archive, name), false)),
  );
  return [own, await panicOf(archive, false), ...archived].flatMap((panic) => panic ?? []);
}

/** The parts of a panic in a directory, in their order; the last part says most. */
async function panicOf(dir: string, mayTakeAway: boolean): Promise<FoundPanic | null> {
  const names = (await readdir(dir).catch(() => [])).filter((name) => /^dmesg[-.]/.test(name)).toSorted(byName);
  const files = names.slice(0, MOST_PANIC_FILES).map((name) => join(dir, name));
  const parts = await Promise.all(files.map((file) => readTail(file, MOST_PANIC_BYTES).catch(() => null)));
  const readable = parts.filter((part) => part !== null);
  if (readable.length === 0) return null;
  const text = readable.join('\n').slice(-MOST_PANIC_BYTES);
  const title = /Kernel panic - not syncing: [^\n]*|BUG: [^\n]*|Oops[^\n]*/.exec(text)?.[0] ?? 'kernel panic';
  const id = createHash('sha256').update(text).digest('base64url').slice(0, 22);
  return { id, title: title.slice(0, 120), text, files: mayTakeAway ? files : [] };
}

/** `result code status`, as systemd's variables have them. */
async function supervisorWord(path: string): Promise<SupervisorWord | null> {
  const text = await readHead(path, 256).catch(() => '');
  const [, result, code = '', status = ''] =
    /^([a-z-]{1,32})(?: ([a-z]{1,16}))?(?: ([A-Z0-9]{1,16}))?\s*$/.exec(text) ?? [];
  return result === undefined ? null : { result, code, status };
}

async function nodeReport(path: string): Promise<FoundTraces['fatal']> {
  const text = await readHead(path, MOST_REPORT_BYTES).catch(() => null);
  if (text === null) return null;
  const report = objectOf(text);
  const [header, javascript] = [report['header'], report['javascriptStack']].map(recordOf);
  const event = header?.['event'];
  if (typeof event !== 'string') return { event: 'a report that cannot be read', stack: '' };
  const frames = listOf(report['nativeStack']).map((frame) => recordOf(frame)['symbol']);
  const stack = [javascript?.['message'], ...listOf(javascript?.['stack']), ...frames];
  const lines = stack.filter((line) => typeof line === 'string' && line !== '').slice(0, MOST_STACK_LINES);
  return { event: event.slice(0, 200), stack: lines.join('\n') };
}

function objectOf(text: string): Record<string, unknown> {
  try {
    return recordOf(JSON.parse(text));
  } catch {
    return {};
  }
}

const recordOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null ? { ...value } : {};
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

async function oomKillCounts(root: string): Promise<FoundTraces['oomKills']> {
  const group = /^0::(\/.*)$/m.exec(await readFile(join(root, 'proc/self/cgroup'), 'utf8').catch(() => ''))?.[1];
  const [own, machine] = await Promise.all([
    group === undefined ? '' : readFile(join(root, 'sys/fs/cgroup', group, 'memory.events'), 'utf8').catch(() => ''),
    readFile(join(root, 'proc/vmstat'), 'utf8').catch(() => ''),
  ]);
  const count = (text: string): number | null => {
    const found = /^oom_kill (\d+)$/m.exec(text)?.[1];
    return found === undefined ? null : Number(found);
  };
  return { own: count(own), machine: count(machine) };
}

const byName = (a: string, b: string): number => (a < b ? -1 : 1);
