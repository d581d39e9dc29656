import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AuthenticReport } from '@paddock/cloud/ingest/authenticate.ts';
import { tryNext } from '@paddock/cloud/ingest/culprits.ts';
import { authentic } from '../../../harness/reports.ts';

const from = (device: string, sequence: number): AuthenticReport => authentic({ device, sequence });

/** Takes a batch apart until every culprit stands alone. @returns how many transactions that took */
function triesFor(batch: readonly AuthenticReport[], isCulprit: (report: AuthenticReport) => boolean): number {
  let tries = 0;
  for (let parts: (readonly AuthenticReport[])[] = [batch]; parts.length > 0; tries++) {
    const [part = [], ...others] = parts;
    parts = part.length > 1 && part.some(isCulprit) ? tryNext(part, others) : others;
  }
  return tries;
}

describe('a batch that fails for its content', () => {
  const batch = Array.from({ length: 500 }, (_, n) => from(`kiosk-${String(n % 200).padStart(4, '0')}`, n));

  it('is taken apart without losing or repeating any', () => {
    const device = fc.constantFrom('kiosk-a', 'kiosk-b', 'kiosk-c', 'kiosk-d');
    const report = fc.tuple(device, fc.nat({ max: 99 })).map(([name, sequence]) => from(name, sequence));
    fc.assert(
      fc.property(fc.array(report, { minLength: 2, maxLength: 30 }), (failed) => {
        const parts = tryNext(failed, []);
        expect(parts).toHaveLength(2);
        expect(parts.every((part) => part.length > 0)).toBe(true);
        expect(new Set(parts.flat())).toEqual(new Set(failed));
        expect(parts.flat()).toHaveLength(failed.length);
      }),
    );
  });

  it('costs about two tries for each time its size halves', () => {
    expect(triesFor(batch, ({ report }) => report.sequence === 321)).toBeLessThanOrEqual(21);
  });

  it('lets innocent devices through before one that fails again and again is told apart', () => {
    const flood = Array.from({ length: 300 }, (_, n) => from('kiosk-9999', n));
    const seen: boolean[] = [];
    for (let parts: (readonly AuthenticReport[])[] = [[...batch.slice(0, 200), ...flood]]; parts.length > 0;) {
      const [part = [], ...others] = parts;
      const fails = part.some(({ deviceId }) => deviceId === 'kiosk-9999');
      seen.push(part.every(({ deviceId }) => deviceId === 'kiosk-9999'));
      parts = fails && part.length > 1 ? tryNext(part, others) : others;
    }
    expect(seen.indexOf(true)).toBeLessThanOrEqual(20);
    expect(seen.slice(seen.indexOf(true)).filter((isFlood) => !isFlood)).toHaveLength(0);
  });
});
