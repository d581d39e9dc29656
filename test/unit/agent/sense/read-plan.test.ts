import { planReads } from '@paddock/agent/sense/read-plan.ts';
import { requestLimit, sizeOf } from '@paddock/agent/sense/registers.ts';
import type { RegisterSource } from '@paddock/agent/sense/settings.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

type Where = Partial<Pick<RegisterSource, 'unit' | 'table' | 'type'>> & { address: number };
const source = ({ unit = 1, table = 'input', address, type }: Where): RegisterSource => ({
  kind: 'modbus-rtu',
  port: 'bus',
  unit,
  table,
  address,
  wordOrder: 'high-first',
  byteOrder: 'high-first',
  ...(type && { type }),
});
const plan = (...places: Where[]) => planReads(new Map(places.map((where, i) => [`s${i}`, source(where)])));
const shapes = (...places: Where[]) =>
  plan(...places).map(({ unit, table, address, count }) => [unit, table, address, count]);

describe('read plan', () => {
  it('reads neighbours together and leaves gaps alone', () => {
    expect(shapes({ address: 2, type: 'float32' }, { address: 0, type: 'float32' }, { address: 5 })).toEqual([
      [1, 'input', 0, 4],
      [1, 'input', 5, 1],
    ]);
  });

  it('reads a register once for all who want it', () => {
    expect(shapes({ address: 7 }, { address: 7 }, { address: 6, type: 'uint32' })).toEqual([[1, 'input', 6, 2]]);
  });

  it('never mixes units or tables', () => {
    expect(
      shapes({ address: 0 }, { address: 1, unit: 2 }, { address: 1, table: 'holding' }, { address: 1, table: 'coil' }),
    ).toHaveLength(4);
  });

  it('stays within what one request may ask for', () => {
    expect(shapes(...Array.from({ length: 126 }, (_, address) => ({ address }))).map(([, , , count]) => count)).toEqual(
      [125, 1],
    );
    const coils = Array.from({ length: 2001 }, (_, address) => ({ address, table: 'coil' as const }));
    expect(shapes(...coils).map(([, , , count]) => count)).toEqual([2000, 1]);
  });

  it('brings every value whole, exactly once, from where it stands', () => {
    const where = fc.record({
      unit: fc.integer({ min: 1, max: 2 }),
      table: fc.constantFrom('holding', 'input', 'coil' as const),
      address: fc.integer({ min: 0, max: 300 }),
      type: fc.constantFrom('uint16', 'float32', 'uint64' as const),
    });
    fc.assert(
      fc.property(fc.array(where, { maxLength: 60 }), (places) => {
        const requests = plan(...places);
        const reads = requests.flatMap((request) => request.reads.map((read) => ({ request, ...read })));
        expect(reads.map(({ sensor }) => sensor).toSorted()).toEqual(places.map((_, i) => `s${i}`).toSorted());
        for (const { request, source: wanted, offset, count } of reads) {
          expect(request).toMatchObject({ unit: wanted.unit, table: wanted.table });
          expect(request.address + offset).toBe(wanted.address);
          expect(count).toBe(sizeOf(wanted));
          expect(offset + count).toBeLessThanOrEqual(request.count);
          expect(request.count).toBeLessThanOrEqual(requestLimit(request.table));
        }
      }),
    );
  });
});
