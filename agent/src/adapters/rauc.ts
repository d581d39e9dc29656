import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import * as Type from 'typebox';
import { Compile } from 'typebox/schema';
import { InstallError } from '../ports-firmware.ts';
import type { Rauc, RaucSlot } from '../ports-rauc.ts';

/** For a question or a mark. */
const ASK_WITHIN_MS = 30_000;
/** A slow card and a large image: whoever takes longer hangs. */
const INSTALL_WITHIN_MS = 2 * 60 * 60_000;
const REBOOT_WITHIN_MS = 30_000;
/** What RAUC says of its slots is some KiB, and of an installation a line for each step. */
const MOST_OUTPUT_CHARACTERS = 262_144;
const MOST_DETAIL = 400;

const Text = Type.String();
const Nothing = Type.Null();
/** What `rauc status --detailed --output-format=json` of 1.8 says, as far as it is looked at. */
const Status = Compile(
  Type.Object({
    boot_primary: Type.Optional(Type.Union([Nothing, Text])),
    slots: Type.Array(
      Type.Record(
        Text,
        Type.Object({
          class: Text,
          bootname: Type.Union([Nothing, Text]),
          state: Text,
          slot_status: Type.Optional(
            Type.Object({
              checksum: Type.Optional(Type.Object({ sha256: Text })),
              installed: Type.Optional(Type.Object({ timestamp: Text, count: Type.Number() })),
            }),
          ),
        }),
      ),
    ),
  }),
);

export interface RaucCommands {
  /** The program with what comes before its own arguments. */
  readonly program: readonly string[];
  /** What starts the machine again. */
  readonly reboot: readonly string[];
}

/** The Rauc port by the command line of RAUC, which speaks to its service over D-Bus. */
export const createRauc = ({ program, reboot }: RaucCommands): Rauc => ({
  async slots() {
    const { output } = await succeeded([...program, 'status', '--detailed', '--output-format=json'], ASK_WITHIN_MS);
    return slotsIn(output);
  },
  async mark(as, slot) {
    await succeeded([...program, 'status', `mark-${as}`, slot], ASK_WITHIN_MS);
  },
  async install(file, progress, signal) {
    signal.throwIfAborted();
    let isWriting = false;
    const hear = (line: string): void => {
      const [, percent, step = ''] = /^\s*(\d{1,3})% (.*)$/.exec(line) ?? [];
      if (percent !== undefined) progress(Math.min(100, Number(percent)));
      isWriting ||= step === 'Updating slots';
    };
    const installing = runProgram([...program, 'install', file], { withinMs: INSTALL_WITHIN_MS, signal, hear });
    // Ended by us: no fault of RAUC's.
    const run = await installing.finally(() => signal.throwIfAborted());
    if (run.code !== 0) throw faultOf(run, isWriting ? 'install_rauc_failed' : 'install_rauc_refused');
  },
  async reboot() {
    const run = await runProgram(reboot, { withinMs: REBOOT_WITHIN_MS });
    if (run.code !== 0) throw new InstallError('install_reboot_failed', lastOf(run) || `it ended with ${run.code}`);
  },
});

/** @throws InstallError `install_rauc_failed` */
function slotsIn(text: string): RaucSlot[] {
  // Warnings may stand before it.
  const line = text.split('\n').find((one) => one.startsWith('{')) ?? '';
  const status = parsed(line);
  if (!Status.Check(status)) throw new InstallError('install_rauc_failed', 'its status cannot be read');
  const { boot_primary: primary = null, slots } = status;
  return slots.flatMap((each) =>
    Object.entries(each).flatMap(
      ([name, { class: group, bootname, state, slot_status: { checksum, installed } = {} }]) => {
        if (bootname === null) return [];
        const stamp = installed
          ? `${installed.count} ${installed.timestamp} ${checksum?.sha256 ?? ''}`.trimEnd()
          : null;
        return [{ name, group, isBooted: state === 'booted', isPrimary: name === primary, stamp }];
      },
    ),
  );
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null;
  }
}

interface Run {
  /** Null: it was killed. */
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

interface Running {
  readonly withinMs: number;
  readonly signal?: AbortSignal;
  readonly hear?: (line: string) => void;
}

async function succeeded(command: readonly string[], withinMs: number): Promise<Run> {
  const run = await runProgram(command, { withinMs });
  if (run.code !== 0) throw faultOf(run, 'install_rauc_failed');
  return run;
}

/** By what GLib says of D-Bus: RAUC itself ends with 1 for everything. The rest has the code of where it came to. */
const FAULTS = [
  [/already processing a different method/i, 'install_rauc_busy'],
  [/AccessDenied|Rejected send message/, 'install_rauc_denied'],
  [
    /ServiceUnknown|not provided by any \.service|Could not connect|service disappeared|Error\.(Spawn|NoReply|Timeout|NameHasNoOwner)/,
    'install_rauc_away',
  ],
] as const;

function faultOf(run: Run, otherwise: InstallError['code']): InstallError {
  const [, code] = FAULTS.find(([words]) => words.test(run.errors)) ?? [];
  const why = run.code === null ? 'it was not done in time' : lastOf(run);
  return new InstallError(code ?? otherwise, why || `it ended with ${run.code}`);
}

/** RAUC's own word where it has one, otherwise the last line that was said. */
function lastOf({ output, errors }: Run): string {
  const [, last] = /^LastError: (.*)$/m.exec(output) ?? [];
  const line = last ?? [...output.split('\n'), ...errors.split('\n')].findLast((one) => one.trim() !== '') ?? '';
  return line.trim().slice(0, MOST_DETAIL);
}

/** In the C locale: what it says is read. @throws InstallError `install_rauc_away` when it cannot be started */
function runProgram([file = '', ...args]: readonly string[], { withinMs, signal, hear }: Running): Promise<Run> {
  const { promise, resolve, reject } = Promise.withResolvers<Run>();
  const child = spawn(file, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
    timeout: withinMs,
    killSignal: 'SIGKILL',
    signal,
  });
  let [output, errors] = ['', ''];
  createInterface(child.stdout).on('line', (line) => {
    hear?.(line);
    output = `${output}${line}\n`.slice(-MOST_OUTPUT_CHARACTERS);
  });
  child.stderr.on(
    'data',
    (chunk: Buffer) => void (errors = (errors + chunk.toString()).slice(-MOST_OUTPUT_CHARACTERS)),
  );
  child.once('error', (cause) => reject(new InstallError('install_rauc_away', cause.message, { cause })));
  child.once('close', (code) => resolve({ code, output, errors }));
  return promise;
}
