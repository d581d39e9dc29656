import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Began } from '@paddock/shared/began.ts';
import { DICTIONARIES } from '@paddock/shared/dictionary.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import { deflater } from './adapters/deflate.ts';
import { openFixedFile, type OpenedFile } from './adapters/fixed-file.ts';
import { createTraces } from './adapters/traces.ts';
import { createVitals } from './adapters/vitals.ts';
import type { BegunStart } from './identity/identity.ts';
import { CRASHES_FILE, EMPTY_BOOK, formatBook, parseBook, withCrash, type CrashBook } from './past/book.ts';
import { buildCrash, isWorthTelling } from './past/crash.ts';
import { decide, type Verdict } from './past/decide.ts';
import { keepCrashes } from './past/keeper.ts';
import { startPulse } from './past/pulse.ts';
import { createRecorder, readRecord, type Recorder } from './past/recorder.ts';
import { recordingLog } from './past/recording-log.ts';
import { RING_BYTES } from './past/ring.ts';
import { lastRun, STOPPING, type EndWord, type PastRun } from './past/runs.ts';
import type { FoundTraces, Traces } from './ports-past.ts';
import type { Clock, Disk, Link, Signer } from './ports.ts';
import { codeOf, type Log } from './report/log.ts';
import type { PastSource } from './report/parts.ts';

/** The flight recorder. */
export const RECORDER_FILE = 'recorder';

export interface RememberingParts {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly disk: Disk;
  readonly log: Log;
  readonly bootId: string;
  readonly start: BegunStart;
  readonly version: string;
}

/** What is known of the starts before, and the recorder of this one. */
export interface Remembering {
  /** Says what is said, and writes it down for the next start. */
  readonly log: Log;
  /** Tells the cloud, as soon as the device has a name and a connection. */
  speak(device: string, link: Pick<Link, 'publish'>, signer: Signer): PastSource & { stop(): Promise<void> };
  /** What the agent will be told to stop for, if it is; null: nothing of the kind. */
  expects(word: EndWord | null): void;
  /** What it is told to stop for, where it is not told why. */
  expected(): EndWord;
  /** The agent begins to stop. */
  stopping(word: EndWord): void;
  /** It has stopped in good order: durable when this resolves. */
  ended(word: EndWord): Promise<void>;
  /** It breaks: written when this returns. */
  broke(error: unknown): void;
}

/** Finds out why this start began, and begins to write down what happens from here on. */
export async function remember(parts: RememberingParts): Promise<Remembering> {
  const { dataDir, clock, disk, log, bootId, start } = parts;
  const opened = openRecorder(dataDir, log);
  const { entries, loss } = readRecord(opened?.found ?? null);
  if (loss === 'foreign') log.warn({ code: 'recorder_foreign' }, 'The flight recorder held nothing of ours');
  const traces = createTraces(dataDir);
  const [found, book] = await Promise.all([traces.look(), readBook(disk, log)]);
  const fresh = { ...found, panics: found.panics.filter(({ id }) => !book.told.includes(id)) };
  const run = lastRun(entries);
  const verdict = decide({
    run,
    isFirst: run === null && start.loss === 'missing',
    startBefore: start.loss === null ? start.start - 1 : null,
    bootId,
    version: parts.version,
    traces: fresh,
  });
  const recorder = createRecorder(opened?.file ?? null, opened?.found ?? null, {
    clock,
    log,
    bootId,
    start: start.start,
  });
  await recorder.keep('begin', 'info', 'The agent starts', beginning(parts, found));
  const told = await writeCrash(parts, book, { run, verdict, traces: fresh });
  await traces.begin();
  tell(log, told.began);
  return remembering(parts, { recorder, traces, ...told });
}

/** What the next start compares with. */
const beginning = ({ bootId, start, version }: RememberingParts, { pid, oomKills: { own, machine } }: FoundTraces) => ({
  boot: bootId,
  incarnation: start.incarnation,
  version,
  pid,
  ...(own !== null && { ownOomKills: own }),
  ...(machine !== null && { machineOomKills: machine }),
});

function openRecorder(dataDir: string, log: Log): OpenedFile | null {
  try {
    return openFixedFile(join(dataDir, RECORDER_FILE), RING_BYTES);
  } catch (cause) {
    log.warn(
      { code: codeOf(cause), err: cause },
      'There is no flight recorder: what ends this start will not be known',
    );
    return null;
  }
}

async function readBook(disk: Disk, log: Log): Promise<CrashBook> {
  const book = await disk.read(CRASHES_FILE).then(parseBook, () => 'damaged' as const);
  if (book === 'damaged') log.warn({ code: 'crashes_damaged' }, 'What waited of crash reports cannot be read');
  return typeof book === 'string' ? EMPTY_BOOK : book;
}

interface Told {
  readonly began: Began;
  readonly book: CrashBook;
}

/** The crash report is on the disk before anything else can break. */
async function writeCrash(
  { clock, disk, log, bootId, start: { incarnation, start } }: RememberingParts,
  book: CrashBook,
  past: { readonly run: PastRun | null; readonly verdict: Verdict; readonly traces: FoundTraces },
): Promise<Told> {
  const began = beganBy(past.run, past.verdict);
  const { agent, machine } = past.verdict;
  if (!isWorthTelling(agent, machine)) return { began, book };
  // In hexadecimal, because people hand it to a command line, where a word must not begin with a hyphen.
  const id = createHash('sha256').update(`${incarnation} ${start} ${bootId}`).digest('hex').slice(0, 24);
  const withId = { ...began, crash: id };
  const segment = clock.segment();
  const crash = {
    v: PAYLOAD_VERSION,
    id,
    incarnation,
    start,
    boot: { id: bootId },
    uptimeMs: clock.monotonic(),
    ...(segment > 0 && { segment }),
    began: withId,
    ...buildCrash(past.run, past.traces, packed),
  };
  const { panics } = past.traces;
  const files = panics.flatMap((panic) => panic.files).slice(0, 32);
  const next = withCrash(
    book,
    { crash, tries: 0, panics: files },
    panics.map((panic) => panic.id),
  );
  if (next === book) return { began, book };
  await disk.replace(CRASHES_FILE, await formatBook(next)).catch((cause: unknown) => {
    log.warn({ code: codeOf(cause), err: cause }, 'A crash report could not be written down');
  });
  return { began: withId, book: next };
}

const packed = (content: object): number =>
  deflater.deflate(new TextEncoder().encode(JSON.stringify(content)), DICTIONARIES.d1).length;

function beganBy(run: PastRun | null, { agent, machine }: Verdict): Began {
  return {
    agent,
    ...(machine !== null && { machine }),
    ...(run !== null && {
      before: {
        start: run.start,
        boot: { id: run.bootId },
        ...(run.segment > 0 && { segment: run.segment }),
        uptimeMs: run.lastAt,
        ranMs: run.begunAt === null ? 0 : Math.max(0, run.lastAt - run.begunAt),
      },
    }),
  };
}

function tell(log: Log, { agent, machine, crash }: Began): void {
  const { reason, basedOn, detail } = agent;
  const fields = {
    reason,
    basedOn: basedOn.join(' '),
    ...(detail !== undefined && { detail }),
    ...(machine && { machine: machine.reason, machineBasedOn: machine.basedOn.join(' ') }),
  };
  log[crash === undefined ? 'info' : 'warn'](fields, 'What ended the start before');
}

function remembering(
  { clock, disk, log: said, dataDir, start }: RememberingParts,
  { recorder, traces, began, book }: Told & { readonly recorder: Recorder; readonly traces: Traces },
): Remembering {
  const log = recordingLog(said, recorder, () => pulse.diskFailed());
  const pulse = startPulse({ clock, vitals: createVitals(dataDir), recorder, log });
  let next: EndWord | null = null;
  return {
    log,
    expects: (word) => void (next = word),
    expected: () => next ?? { how: 'clean' },
    speak(device, link, signer) {
      const parts = {
        clock,
        disk,
        link,
        signer,
        deflater,
        log,
        takeAway: (files: readonly string[]) => traces.takeAway(files),
      };
      const keeper = keepCrashes(parts, device, book);
      let isKnown = false;
      return {
        began: () => (isKnown ? null : began),
        crashes: () => keeper.ids(),
        troubles: () => pulse.troubles(),
        answered(answer) {
          // Of this start: every report of it until now has told why it began.
          if (answer.incarnation === start.incarnation && answer.start === start.start) isKnown = true;
          void keeper.answered(answer);
        },
        stop: () => keeper.stop(),
      };
    },
    stopping: (word) => void recorder.keep('note', 'info', STOPPING, { ...word }),
    async ended(word) {
      await pulse.stop();
      await recorder.keep('end', 'info', 'The agent has stopped', { ...word });
      await recorder.close();
    },
    broke(error) {
      const { name, message, stack = '' } = error instanceof Error ? error : new Error(String(error));
      recorder.lastWords(message, { name, stack, ...(error instanceof Error && { code: codeOf(error) }) });
    },
  };
}
