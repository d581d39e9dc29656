import { FetchError } from '../../ports-firmware.ts';
import type { Clock } from '../../ports.ts';

/** So many bytes have to come while so long is waited for them. */
export interface Pace {
  readonly bytes: number;
  readonly withinMs: number;
}

/**
 * What comes, as long as it comes fast enough. Only the time that is spent waiting for the server counts, so whoever
 * reads may take as long as he likes.
 * @throws FetchError `fetch_too_slow`, `fetch_failed` when the server breaks off
 */
export async function* paced(
  source: AsyncIterable<Uint8Array>,
  { bytes: least, withinMs }: Pace,
  clock: Clock,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const pieces = source[Symbol.asyncIterator]();
  let pending: Promise<IteratorResult<Uint8Array>> | null = null;
  let [waited, got] = [0, 0];
  try {
    for (;;) {
      const since = clock.monotonic();
      pending ??= pieces.next();
      const next = await within(pending, withinMs - waited, clock);
      waited += clock.monotonic() - since;
      if (next !== 'late') pending = null;
      if (next !== 'late' && next.done) return;
      if (next !== 'late') {
        got += next.value.length;
        yield next.value;
      }
      if (next !== 'late' && waited < withinMs) continue;
      if (got < least) throw new FetchError('fetch_too_slow', `${got} bytes in ${Math.round(waited)} ms`);
      [waited, got] = [0, 0];
    }
  } catch (cause) {
    signal.throwIfAborted();
    throw cause instanceof FetchError ? cause : new FetchError('fetch_failed', messageOf(cause), { cause });
  }
}

async function within<T>(work: Promise<T>, ms: number, clock: Clock): Promise<T | 'late'> {
  const over = new AbortController();
  const late = clock.sleep(Math.max(0, ms), over.signal).then((): 'late' => 'late');
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
    // What comes after we have gone is nobody's.
    work.catch(() => {});
  }
}

const messageOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));
