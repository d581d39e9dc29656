import { availableParallelism } from 'node:os';
import type { Opener } from '../ports.ts';
import { SIGNATURE_BYTES } from './opener/batch.ts';
import { OpenerThread, type Wanted } from './opener/thread.ts';

export interface OpenerOptions {
  /** The threads' program: opener-thread.ts. */
  readonly program: URL;
  /** By default one less than the machine has processors for us: one is for everything else. */
  readonly threads?: number;
}

/** An opener with threads of its own; it ends with `close`. */
export interface ThreadedOpener extends Opener {
  close(): Promise<void>;
}

/** What a thread is given at once: small enough that several of them share a burst. */
const MAX_ITEMS = 64;
/** Beyond this more threads are not kept busy by the one that hands out. */
const MAX_THREADS = 4;

/**
 * Opens envelopes in threads of its own, many at once. Web Crypto verifies in threads too, one job a signature; but to
 * make such a job costs the thread that takes messages in half of what the verification itself costs.
 */
export function startOpener({ program, threads }: OpenerOptions): ThreadedOpener {
  const count = Math.max(1, Math.min(threads ?? availableParallelism() - 1, MAX_THREADS));
  const pool = Array.from({ length: count }, () => new OpenerThread(program));
  let gathered: Wanted[] = [];
  const handOut = (): void => {
    const all = gathered;
    gathered = [];
    for (let at = 0; at < all.length; at += MAX_ITEMS)
      pool
        .reduce((least, other) => (other.waiting < least.waiting ? other : least))
        .open(all.slice(at, at + MAX_ITEMS));
  };
  return {
    open: async (envelope, key) => {
      const signature = Buffer.from(envelope.signature, 'base64url');
      if (signature.length !== SIGNATURE_BYTES) return null;
      const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<Opener['open']>>>();
      // What comes in one turn of the event loop is handed out together.
      if (gathered.push({ envelope, key, signature, resolve, reject }) === 1) setImmediate(handOut);
      return promise;
    },
    close: async () => {
      await Promise.all(pool.map((thread) => thread.close()));
    },
  };
}
