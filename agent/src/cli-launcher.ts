import { once } from 'node:events';
import { mkdirSync, realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import manifest from '../package.json' with { type: 'json' };
import { lockDataDir } from './adapters/data-dir-lock.ts';
import { linePrefix } from './adapters/journal.ts';
import { createJsonLog } from './adapters/json-log.ts';
import { serveLauncher } from './adapters/launcher-socket.ts';
import { createStarter } from './adapters/starter.ts';
import { createSystemClock } from './adapters/system-clock.ts';
import { createTreeCalls } from './adapters/tree-calls.ts';
import { APP_DIRECTORY } from './slots/environment.ts';
import { SlotLauncher } from './launcher/launcher.ts';
import { MARK } from './launcher/program.ts';
import type { Clock } from './ports.ts';

/** Documented in `--help`; scripts rely on them. */
const EXIT = { ok: 0, failed: 1, usage: 2, crashed: 70 } as const;

const HELP = `Usage: paddock-launcher --slots <dir> [options]

Runs the program of the slot that is to be run, again whenever it ends, and goes back
to what ran before when a new release does not prove itself. Logs are JSON lines on
standard error. SIGTERM and SIGINT end it with everything that it started.

Options:
  --slots <dir>      the directory of the slots; made where it is missing
  --socket <path>    where it answers (default: launcher.sock in that directory)
  --app-dir <dir>    where programs may write (default: data in that directory)
  --grace <seconds>  how long a program has to end before it is killed (default: 10)
  --version          show the version
  --help             show this

Examples:
  $ paddock-launcher --slots /var/lib/paddock/slots

Exit codes:
  0   it was told to end, and nothing that it started runs any more
  1   it failed; the message and its code say why
  2   the command line is wrong
  70  it broke; the log holds the stack`;

const SOCKET = 'launcher.sock';
const SOCKET_AGAIN_MS = 30_000;

interface Options {
  readonly slots: string;
  readonly socket: string | undefined;
  readonly appDir: string | undefined;
  readonly graceMs: number;
}

/** Runs one command line. Sets the process's exit code and never throws. */
export async function runLauncher(args: readonly string[]): Promise<void> {
  const options = optionsOf(args);
  if (options === null) return;
  const log = createJsonLog('info', { program: 'launcher' }, linePrefix(process.env['JOURNAL_STREAM']));
  const crash = (error: unknown): void => {
    log.fatal({ err: error, code: 'crashed' }, 'The launcher broke');
    process.exit(EXIT.crashed);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  try {
    await launch(options, log, stopSignal());
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unexpected';
    process.stderr.write(`${cause instanceof Error ? cause.message : String(cause)}\n(${code})\n`);
    process.exitCode = EXIT.failed;
  }
}

/** @returns null when nothing is to be run: the answer was printed */
function optionsOf(args: readonly string[]): Options | null {
  const known = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        slots: known,
        socket: known,
        'app-dir': known,
        grace: { ...known, default: '10' },
        version: { type: 'boolean' },
        help: { type: 'boolean' },
      },
    });
    if (values.help || values.version) {
      process.stdout.write(`${values.help ? HELP : manifest.version}\n`);
      return null;
    }
    if (!values.slots) throw new Error('--slots is missing: the directory of the slots');
    const grace = Number(values.grace);
    if (!(grace >= 0 && grace <= 600)) throw new Error(`--grace takes a number from 0 to 600, not ${values.grace}`);
    return { slots: values.slots, socket: values.socket, appDir: values['app-dir'], graceMs: grace * 1000 };
  } catch (cause) {
    process.stderr.write(`error: ${cause instanceof Error ? cause.message : String(cause)}\n`);
    process.exitCode = EXIT.usage;
    return null;
  }
}

type Log = ReturnType<typeof createJsonLog>;

async function launch(options: Options, log: Log, stop: AbortSignal): Promise<void> {
  const release = lockDataDir(options.slots, 'launcher');
  try {
    const directory = realpathSync(options.slots);
    const appDirectory = appDirectoryOf(options.appDir ?? join(directory, APP_DIRECTORY), log);
    const clock = createSystemClock();
    const launcher = new SlotLauncher(
      { calls: createTreeCalls(directory), starter: createStarter(`${MARK}=${directory}`), clock, log },
      {
        directory,
        appDirectory,
        nodeDirectory: dirname(process.execPath),
        environment: process.env,
        graceMs: options.graceMs,
      },
    );
    log.info({ version: manifest.version, slots: directory }, 'The launcher starts');
    const serving = serve(options.socket ?? join(directory, SOCKET), launcher, { clock, log, stop });
    await launcher.run(stop);
    await serving;
    log.info({}, 'The launcher has ended');
  } finally {
    release();
  }
}

/** A disk that fails must not keep the kiosk from running: the program finds out itself. */
function appDirectoryOf(path: string, log: Log): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    log.error({ err: cause, code: 'launcher_app_dir' }, 'The directory for programs cannot be made');
  }
  return resolve(path);
}

/** Answers until it is told to end. Without a socket nobody can ask, and the kiosk runs all the same. */
async function serve(
  path: string,
  launcher: SlotLauncher,
  { clock, log, stop }: { clock: Pick<Clock, 'sleep'>; log: Log; stop: AbortSignal },
): Promise<void> {
  while (!stop.aborted) {
    try {
      const server = await serveLauncher(path, {
        status: () => launcher.status(),
        restart: () => launcher.restart(),
      });
      if (!stop.aborted) await once(stop, 'abort');
      return await server.close();
    } catch (cause) {
      log.error({ err: cause, code: 'launcher_socket' }, 'The socket cannot be opened: tried again in 30 s');
      await clock.sleep(SOCKET_AGAIN_MS, stop);
    }
  }
}

/** The first signal ends the program and then the launcher, the second one the launcher: the program ends with it. */
function stopSignal(): AbortSignal {
  const stopping = new AbortController();
  const stop = (): void => {
    if (stopping.signal.aborted) process.exit(EXIT.failed);
    stopping.abort();
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, stop);
  return stopping.signal;
}
