import { parseArgs } from 'node:util';
import { Replay, type Taken } from './clock/replay.ts';
import { parseTraceLine, TraceError, type TraceLine, type TraceProblem } from './clock/replay-trace.ts';
import { linesOf, openInput, type TextLine } from './replay-input.ts';
import { ReplayNotes } from './replay-notes.ts';

const EXIT = { ok: 0, failed: 1, usage: 2 } as const;

const HELP = `Usage: replay-clock [options] FILE

Places every report of a trace in time, by the code that ingest and the views use.
FILE is NDJSON in order of arrival at the cloud, or - for standard input. One line
for each line that holds a report is written to standard output, in the same order;
what is wrong with lines, and a summary, to standard error.

Options:
  --cloud-error-ms MS  how wrong the cloud's clock can be where a line does not say (default: 0)
  --strict             exit with 1 when a line had to be left out
  --help               this text

In:   {"kind":"report","deviceId","boot":{"id","count"},"seq","uptimeMs","wallMs","receivedAt",
       "exchanges":[{"requestUptimeMs","cloudReceivedAt","cloudSentAt","responseUptimeMs"}],
       "changes":[{"name","agoMs"}]}
      {"kind":"time-request","deviceId","boot":{"id","count"},"requestUptimeMs","receivedAt"}
      and on each, if wanted, "cloudErrorMs". Instants are ms since 1970; boot.count orders boots.
Out:  {"deviceId","boot","seq","earliest","latest","estimate","basis",
       "changes":[{"name","earliest","latest","estimate"}]}

Exit codes: 0 done; 1 the file could not be read, or --strict; 2 wrong usage.
`;

interface Streams {
  readonly stdin: NodeJS.ReadableStream;
  readonly stdout: NodeJS.WritableStream;
  readonly stderr: NodeJS.WritableStream;
}
interface Options {
  readonly file: string;
  readonly cloudErrorMs: number;
  readonly strict: boolean;
}

/** Runs one command line. @returns the exit code */
export async function run(argv: readonly string[], { stdin, stdout, stderr }: Streams): Promise<number> {
  const options = optionsOf(argv);
  if (typeof options === 'string') {
    (options === HELP ? stdout : stderr).write(options);
    return options === HELP ? EXIT.ok : EXIT.usage;
  }
  try {
    const notes = new ReplayNotes((text) => stderr.write(text));
    const input = await openInput(options.file, stdin);
    try {
      await replay(input.path, options.cloudErrorMs, stdout, notes);
    } finally {
      await input.close();
    }
    notes.summarize();
    return options.strict && notes.leftOut > 0 ? EXIT.failed : EXIT.ok;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    // A reader that has seen enough, such as head, is no failure.
    if (error.code === 'EPIPE') return EXIT.ok;
    stderr.write(`replay-clock: ${options.file}: ${error.message} (${String(error.code)})\n`);
    return EXIT.failed;
  }
}

/** @returns what to say instead, when there is nothing to run */
function optionsOf(argv: readonly string[]): Options | string {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        'cloud-error-ms': { type: 'string', default: '0' },
        strict: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    });
    if (values.help) return HELP;
    const [file, ...rest] = positionals;
    if (file === undefined || rest.length > 0) return 'replay-clock: name one file, or - (see --help)\n';
    const cloudErrorMs = Number(values['cloud-error-ms'] || NaN);
    if (!(cloudErrorMs >= 0 && cloudErrorMs < Infinity)) return 'replay-clock: --cloud-error-ms takes ms, 0 or more\n';
    return { file, cloudErrorMs, strict: values.strict };
  } catch (error) {
    return `replay-clock: ${error instanceof Error ? error.message : String(error)}\n`;
  }
}

/** Reads the file twice: what came later may say more of what came before. */
async function replay(
  path: string,
  cloudErrorMs: number,
  out: NodeJS.WritableStream,
  notes: ReplayNotes,
): Promise<void> {
  const clocks = new Replay(cloudErrorMs);
  const problems = new Map<number, TraceProblem>();
  for await (const line of linesOf(path)) {
    const parsed = parsedOr(line, (problem, message) => {
      problems.set(line.number, problem);
      notes.leaveOut(line.number, problem, message);
    });
    if (parsed === null) continue;
    const taken = clocks.take(parsed);
    if (taken.problem) problems.set(line.number, taken.problem);
    notes.note(line.number, parsed, taken);
  }
  notes.known(clocks);
  const lines = new Lines(out);
  for await (const line of linesOf(path)) {
    const parsed = parsedOr(line, () => undefined);
    if (parsed?.kind === 'report')
      await lines.write(
        clocks.place(parsed, { problem: problems.get(line.number) ?? null } satisfies Pick<Taken, 'problem'>),
      );
  }
  await lines.flush();
}

function parsedOr({ text }: TextLine, tell: (problem: TraceProblem, message: string) => void): TraceLine | null {
  try {
    if (text === null) throw new TraceError('line_too_long');
    return parseTraceLine(text);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    tell(error.code, error.message);
    return null;
  }
}

/** NDJSON, written in pieces that are worth a system call, and no faster than they are read. */
class Lines {
  readonly #out: NodeJS.WritableStream;
  #waiting = '';

  constructor(out: NodeJS.WritableStream) {
    this.#out = out;
    // Told by the write that failed.
    out.on('error', () => undefined);
  }

  async write(line: unknown): Promise<void> {
    this.#waiting += `${JSON.stringify(line)}\n`;
    if (this.#waiting.length >= 1 << 16) await this.flush();
  }

  async flush(): Promise<void> {
    const text = this.#waiting;
    this.#waiting = '';
    if (text === '') return;
    await new Promise<void>((resolve, reject) => {
      this.#out.write(text, (error) => (error ? reject(error) : resolve()));
    });
  }
}
