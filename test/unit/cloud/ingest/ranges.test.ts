import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { contains, fromMultirange, toMultirange, withSequences } from '@paddock/cloud/ingest/ranges.ts';

const sequences = fc.array(fc.nat({ max: 200 }), { maxLength: 80 });

describe('ranges of recorded sequences', () => {
  it('join where they touch', () => {
    expect(
      withSequences(
        [
          [0, 3],
          [7, 9],
        ],
        [4, 6, 5],
      ),
    ).toEqual([[0, 9]]);
  });

  it('hold exactly what was put in, in runs that neither overlap nor touch', () => {
    fc.assert(
      fc.property(sequences, sequences, (first, second) => {
        const ranges = withSequences(withSequences([], first), second);
        const members = new Set([...first, ...second]);
        for (let n = 0; n <= 201; n++) expect(contains(ranges, n)).toBe(members.has(n));
        for (const [index, [from]] of ranges.entries())
          if (index > 0) expect(from).toBeGreaterThan((ranges[index - 1]?.[1] ?? 0) + 1);
      }),
    );
  });

  it('survive the way to PostgreSQL and back', () => {
    fc.assert(
      fc.property(sequences, (some) => {
        const ranges = withSequences([], some);
        expect(fromMultirange(toMultirange(ranges))).toEqual(ranges);
      }),
    );
    expect(
      toMultirange([
        [0, 4],
        [7, 7],
      ]),
    ).toBe('{[0,5),[7,8)}');
  });
});
