import type { Answer } from '@paddock/shared/answer.ts';
import { seal, type Deflate } from '@paddock/shared/envelope.ts';
import { topicOf } from '@paddock/shared/topics.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Clock, Disk, Link, Signer } from '../ports.ts';
import { codeOf, type Log } from '../report/log.ts';
import { CRASHES_FILE, formatBook, tried, without, type CrashBook, type WaitingCrash } from './book.ts';

/** Answers that do not know of a report yet may be on their way when it is sent. */
const AGAIN_AFTER_MS = 600_000;

export interface CrashParts {
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly disk: Pick<Disk, 'replace'>;
  readonly link: Pick<Link, 'publish'>;
  readonly signer: Signer;
  readonly deflater: Deflate;
  readonly log: Log;
  /** Takes away what the machine kept of panics that the cloud has now. */
  readonly takeAway: (panics: readonly string[]) => Promise<void>;
}

export interface CrashKeeper {
  /** What reports that ask name. */
  ids(): readonly string[];
  /** An answer was taken. Resolves when what it gave to do is done; nobody has to wait for that. Never rejects. */
  answered(answer: Pick<Answer, 'crashes'>): Promise<void>;
  stop(): Promise<void>;
}

/**
 * Sends crash reports until an answer says that the cloud has them: sealed anew each time, and known by their ids.
 * @param book what waits; a file that cannot be written keeps no report from being sent
 */
export function keepCrashes(parts: CrashParts, device: string, book: CrashBook): CrashKeeper {
  const { clock, disk, link, signer, deflater, log } = parts;
  let held = book;
  let isStopped = false;
  const sentAt = new Map<string, UptimeMs>();
  let last: Promise<unknown> = Promise.resolve();
  const write = async (next: CrashBook): Promise<void> => {
    held = next;
    await disk.replace(CRASHES_FILE, await formatBook(next)).catch((cause: unknown) => {
      log.warn({ code: codeOf(cause), err: cause }, 'What waits of crash reports could not be written down');
    });
  };
  const send = async ({ crash }: WaitingCrash): Promise<void> => {
    const { id } = crash;
    const [now, before] = [clock.monotonic(), sentAt.get(id)];
    if (isStopped || (before !== undefined && now - before < AGAIN_AFTER_MS)) return;
    try {
      const envelope = await seal('crash', { ...crash, device }, signer, deflater);
      await link.publish(topicOf('crash', device), envelope);
    } catch (cause) {
      // The next answer comes over a connection that stands.
      return log.debug({ code: codeOf(cause) }, 'A crash report did not reach the broker');
    }
    sentAt.set(id, now);
    log.info({ crash: id, reason: crash.began.agent.reason }, 'Sent a crash report');
    await write(tried(held, id));
  };
  const take = async (known: readonly string[]): Promise<void> => {
    const settled = held.waiting.filter(({ crash }) => known.includes(crash.id));
    if (settled.length > 0) {
      await write(without(held, known));
      await parts.takeAway(settled.flatMap(({ panics }) => panics));
    }
    for (const one of held.waiting) await send(one);
  };
  return {
    ids: () => held.waiting.map(({ crash }) => crash.id),
    async answered({ crashes = [] }) {
      if (held.waiting.length === 0) return;
      last = last.then(() => take(crashes));
      await last;
    },
    async stop() {
      isStopped = true;
      await last;
    },
  };
}
