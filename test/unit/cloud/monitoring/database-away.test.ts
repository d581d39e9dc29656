import { describe, expect, it } from 'vitest';
import { importWebhookSecret } from '@paddock/cloud/monitoring/signature.ts';
import { createWatch } from '@paddock/cloud/monitoring/watch.ts';
import { createCourier } from '@paddock/cloud/monitoring/webhook.ts';
import type { Clock, Store } from '@paddock/cloud/ports.ts';
import { databaseNow } from '@paddock/cloud/store/database-clock.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

/** A database that is away, a clock whose every sleep is over at once, and the lines that were logged. */
function away(rounds: number) {
  const stop = new AbortController();
  const errors: string[] = [];
  const down = () => Promise.reject(Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' }));
  const store: Store = { query: down, transaction: down, listen: down, close: async () => undefined };
  let sleeps = 0;
  const clock: Clock = {
    wall: () => wallMs(1_800_000_000_000),
    monotonic: () => 0,
    sleep: async () => {
      sleeps += 1;
      if (sleeps === rounds) stop.abort();
    },
  };
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, warn: ignore, error: (_: object, line: string) => void errors.push(line) };
  return {
    parts: { store, clock, log, metrics: new CountedMetrics() },
    stop: stop.signal,
    errors,
    rounds: () => sleeps,
  };
}

describe('while the database is away', () => {
  it('the watch tries on and says so once', async () => {
    const { parts, stop, errors, rounds } = away(50);
    await createWatch({ ...parts, listenerId: 'one', now: databaseNow }).run(stop);
    expect(rounds()).toBe(50);
    expect(errors).toHaveLength(1);
  });

  it('the courier tries on and says so once', async () => {
    const { parts, stop, errors, rounds } = away(50);
    const key = await importWebhookSecret(`whsec_${Buffer.alloc(32).toString('base64')}`);
    await createCourier({ ...parts, key, poster: { post: async () => 204 }, now: databaseNow }).run(stop);
    expect(rounds()).toBe(50);
    expect(errors).toHaveLength(1);
  });
});
