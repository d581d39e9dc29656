import { setImmediate } from 'node:timers/promises';
import { pino } from 'pino';
import { beforeEach, describe, expect, it } from 'vitest';
import { Authorities } from '@paddock/cloud/trust/authorities.ts';
import { openAuthority, type Authority } from '@paddock/cloud/trust/authority.ts';
import type { MetricName, Sql } from '@paddock/cloud/ports.ts';
import { toInstant, type WallMs } from '@paddock/shared/time.ts';
import { makeAuthority } from '../../../harness/certificates.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';

const DAY_MS = 86_400_000;
const LOOK_MS = 5_000;

interface Line {
  readonly code?: string;
  readonly authority?: string;
}

/** Authorities end one after the other, and the service is there to see it. */
describe('an authority that ends', () => {
  let clock: CloudClock;
  let began: WallMs;
  let old: Authority;
  let next: Authority;
  let had: Authority[];
  let listed: Authority[];
  let lines: Line[];
  let gauges: Map<MetricName, number>;

  /** Lists of keys that name these, and nobody chose. */
  const sql: Sql = {
    query: async <Row>(text: string) => {
      const authorities = listed.map(({ certificateDer }) => Buffer.from(certificateDer).toString('base64url'));
      const rows: unknown[] = text.includes('key_lists') ? [{ version: 1, added_at: new Date(), authorities }] : [];
      return rows as Row[];
    },
  };
  const open = (): Promise<Authorities> =>
    Authorities.open({
      sql,
      clock,
      log: pino({ level: 'warn' }, { write: (text: string) => void lines.push(JSON.parse(text) as Line) }),
      metrics: {
        count: () => undefined,
        observe: () => undefined,
        gauge: (name, value) => void gauges.set(name, value),
      },
      load: async () => had,
    });
  const codes = (): (string | undefined)[] => lines.map(({ code }) => code);
  const made = async (days: number): Promise<Authority> => {
    const { keyPem, pem } = await makeAuthority({ notAfter: began + days * DAY_MS });
    return openAuthority({ key: keyPem, certificate: pem });
  };

  beforeEach(async () => {
    clock = new CloudClock(Date.now());
    began = clock.wall();
    [old, next] = [await made(100), await made(2_000)];
    [had, listed, lines, gauges] = [[old, next], [old, next], [], new Map()];
  });

  /** What it does while so much time passes. */
  async function during(authorities: Authorities, ms: number): Promise<void> {
    const stopping = new AbortController();
    const running = authorities.run(stopping.signal, async () => undefined);
    clock.advance(Math.max(ms, LOOK_MS));
    await setImmediate();
    stopping.abort();
    await running;
  }

  it('is told of long before, once, where operators look', async () => {
    const authorities = await open();
    expect(codes()).toEqual([]);
    expect(authorities.ending).toBe(`issues until ${toInstant(old.notAfter)}`);
    expect(gauges.get('paddock_authority_not_after_seconds')).toBe(old.notAfter / 1000);
    await during(authorities, 11 * DAY_MS);
    expect(codes()).toEqual(['ca_ends_soon']);
    expect(authorities.ending).toMatch(/time for the next one/);
    expect(authorities.issuing.id).toBe(old.id);
  });

  it('gives way to the one beside it, also while the service runs, and is no trouble at the next start', async () => {
    const authorities = await open();
    let changes = 0;
    authorities.onChange(() => (changes += 1));
    await during(authorities, 101 * DAY_MS);
    expect(authorities.issuing.id).toBe(next.id);
    expect([authorities.accepted.map(({ id }) => id), changes]).toEqual([[next.id], 1]);
    expect(codes()).toContain('ca_expired');
    expect(lines.at(-1)?.authority).toBe(old.id.slice(0, 12));

    lines = [];
    const again = await open();
    expect([again.issuing.id, again.beside]).toEqual([next.id, []]);
    expect(codes()).toEqual(['ca_expired']);
  });

  it('gives way to one that devices do not know yet', async () => {
    listed = [old];
    clock.advance(101 * DAY_MS);
    expect((await open()).issuing.id).toBe(next.id);
  });

  it('stays when it is the only one: the service runs on, and does not start again', async () => {
    had = [old];
    const authorities = await open();
    await during(authorities, 101 * DAY_MS);
    expect(authorities.issuing.id).toBe(old.id);
    expect(codes()).toEqual(expect.arrayContaining(['ca_expired', 'ca_unfit']));
    await expect(open()).rejects.toMatchObject({ code: 'ca_unfit' });
    had = [old, next];
    await during(authorities, 0);
    expect(authorities.issuing.id).toBe(next.id);
  });
});
