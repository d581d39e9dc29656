import { MAX_BREADCRUMBS, MAX_CRASH_BYTES, MAX_KERNEL_TEXT, MAX_MORE, MAX_STACK } from '@paddock/shared/crash.ts';
import type { Breadcrumb, Crash } from '@paddock/shared/crash.ts';
import type { Why } from '@paddock/shared/began.ts';
import type { FoundTraces } from '../ports-past.ts';
import type { More } from './entry.ts';
import type { Kept } from './recorder.ts';
import { redact } from './redact.ts';
import type { PastRun } from './runs.ts';

/** What a crash report tells, before it is known by whom and when. */
export type CrashContent = Pick<Crash, 'error' | 'breadcrumbs' | 'kernel' | 'agent' | 'shortened'>;

/** Ends in good order, and the very first start, have nothing to tell. */
const QUIET = new Set<Why['reason']>(['clean', 'update', 'command']);

export const isWorthTelling = (agent: Why, machine: Why | null): boolean =>
  !(QUIET.has(agent.reason) && (machine === null || QUIET.has(machine.reason))) &&
  !agent.basedOn.includes('first-start');

/**
 * What the recorder and the machine have, without secrets and within bounds.
 * @param packed how many bytes a value takes as it travels
 */
export function buildCrash(
  run: PastRun | null,
  { panics, fatal, kernel }: Pick<FoundTraces, 'panics' | 'fatal' | 'kernel'>,
  packed: (content: object) => number,
): CrashContent {
  const text = [...panics.map((panic) => panic.text), kernel].filter(Boolean).join('\n');
  const version = run?.began['version'];
  const error = errorOf(run?.end ?? null, fatal);
  const whole: CrashContent = {
    ...(typeof version === 'string' && { agent: { version: plain(version, 64) } }),
    ...(error !== null && { error }),
    breadcrumbs: (run?.entries ?? []).slice(-MAX_BREADCRUMBS).map(breadcrumbOf),
    ...(text !== '' && { kernel: plain(text.slice(-MAX_KERNEL_TEXT), MAX_KERNEL_TEXT) }),
  };
  return fitting(whole, packed);
}

/** What came last says most: the oldest goes first. */
function fitting(content: CrashContent, packed: (content: object) => number): CrashContent {
  if (packed(content) <= MAX_CRASH_BYTES) return content;
  const { breadcrumbs, kernel, error } = content;
  return fitting(
    {
      ...content,
      breadcrumbs: breadcrumbs.slice(Math.ceil(breadcrumbs.length / 2)),
      ...(kernel !== undefined && { kernel: kernel.slice(Math.ceil(kernel.length / 2)) }),
      ...(error !== undefined && {
        error: { ...error, stack: error.stack.slice(0, Math.floor(error.stack.length / 2)) },
      }),
      shortened: true,
    },
    packed,
  );
}

function errorOf(end: Kept | null, fatal: FoundTraces['fatal']): NonNullable<Crash['error']> | null {
  if (end?.kind === 'error') {
    const { name = 'Error', stack = '' } = end.more;
    return { name: plain(String(name), 64), message: plain(end.what, 1024), stack: plain(String(stack), MAX_STACK) };
  }
  if (fatal === null) return null;
  return { name: 'Fatal', message: plain(fatal.event, 1024), stack: plain(fatal.stack, MAX_STACK) };
}

const NAME = /^[a-zA-Z][a-zA-Z0-9]{0,31}$/;

function breadcrumbOf({ at, level, what, more, kind }: Kept): Breadcrumb {
  const told = Object.entries(kind === 'error' ? withoutStack(more) : more)
    .filter(([name]) => NAME.test(name))
    .slice(0, MAX_MORE)
    // A name may say what the value is: both are looked at together.
    .map(([name, value]) => [name, typeof value === 'string' ? valueOf(name, value) : value] as const);
  return {
    uptimeMs: at,
    level,
    what: plain(what, 160),
    ...(told.length > 0 && { more: Object.fromEntries(told) }),
  };
}

/** The error itself has it. */
const withoutStack = ({ stack: _, ...more }: More): More => more;

const valueOf = (name: string, value: string): string => {
  const shown = `${name}=`;
  const line = plain(`${shown}${value}`, 128 + shown.length);
  return line.startsWith(shown) ? line.slice(shown.length, shown.length + 128) : '[redacted]';
};

/** Text that every database can hold: no U+0000, no half of a surrogate pair. */
const plain = (text: string, most: number): string =>
  redact(text).slice(0, most).toWellFormed().replaceAll('\u0000', '\u{FFFD}');
