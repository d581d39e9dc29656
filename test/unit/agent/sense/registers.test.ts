import { decodeRegisters, sizeOf, type RegisterType } from '@paddock/agent/sense/registers.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

type Order = 'high-first' | 'low-first';
const ORDERS: readonly Order[] = ['high-first', 'low-first'];
const decode = (
  words: number[],
  type: RegisterType,
  {
    wordOrder = 'high-first',
    byteOrder = 'high-first',
    bit,
  }: { wordOrder?: Order; byteOrder?: Order; bit?: number } = {},
): number =>
  decodeRegisters(words, { table: 'holding', type, wordOrder, byteOrder, ...(bit !== undefined && { bit }) });

describe('registers', () => {
  it.each([
    ['int16', [0xffff], -1],
    ['uint16', [0xffff], 65_535],
    ['int32', [0xffff, 0xfffe], -2],
    ['uint32', [0x0001, 0x0000], 65_536],
    ['int64', [0xffff, 0xffff, 0xffff, 0xfffd], -3],
    ['uint64', [0, 1, 0, 0], 4_294_967_296],
    ['float32', [0x40e6, 0x6666], 7.2],
    ['float64', [0x3ff8, 0, 0, 0], 1.5],
  ] as const)('reads %s', (type, words, value) => {
    expect(decode([...words], type)).toBe(value);
  });

  it('reads the same value in every order of words and bytes', () => {
    const [high, low] = [0x40e6, 0x6666];
    const swapped = [0xe640, 0x6666] as const;
    expect(decode([low, high], 'float32', { wordOrder: 'low-first' })).toBe(7.2);
    expect(decode([...swapped], 'float32', { byteOrder: 'low-first' })).toBe(7.2);
    expect(decode(swapped.toReversed(), 'float32', { wordOrder: 'low-first', byteOrder: 'low-first' })).toBe(7.2);
  });

  it('reads one bit', () => {
    expect([0, 1, 15].map((bit) => decode([0x8002], 'uint16', { bit }))).toEqual([0, 1, 1]);
    expect(decode([0xfffe], 'int16', { bit: 15 })).toBe(1);
  });

  it('reads coils as they are, and calls an answer that is too short no number', () => {
    expect(decodeRegisters([1], { table: 'coil', wordOrder: 'high-first', byteOrder: 'high-first' })).toBe(1);
    expect(decode([1], 'float32')).toBeNaN();
    expect(decodeRegisters([], { table: 'discrete', wordOrder: 'high-first', byteOrder: 'high-first' })).toBeNaN();
  });

  it('brings back every value of every type in every order', () => {
    const write = {
      int16: (view: DataView, value: number) => view.setInt16(0, value),
      uint16: (view: DataView, value: number) => view.setUint16(0, value),
      int32: (view: DataView, value: number) => view.setInt32(0, value),
      uint32: (view: DataView, value: number) => view.setUint32(0, value),
      int64: (view: DataView, value: number) => view.setBigInt64(0, BigInt(value)),
      uint64: (view: DataView, value: number) => view.setBigUint64(0, BigInt(value)),
      float32: (view: DataView, value: number) => view.setFloat32(0, value),
      float64: (view: DataView, value: number) => view.setFloat64(0, value),
    };
    const values = {
      int16: fc.integer({ min: -32_768, max: 32_767 }),
      uint16: fc.integer({ min: 0, max: 65_535 }),
      int32: fc.integer(),
      uint32: fc.integer({ min: 0, max: 4_294_967_295 }),
      int64: fc.maxSafeInteger(),
      uint64: fc.maxSafeNat(),
      float32: fc.float({ noNaN: true }),
      float64: fc.double({ noNaN: true }),
    };
    for (const type of Object.keys(write) as RegisterType[]) {
      fc.assert(
        fc.property(
          values[type],
          fc.constantFrom(...ORDERS),
          fc.constantFrom(...ORDERS),
          (value, wordOrder, byteOrder) => {
            const count = sizeOf({ table: 'input', type });
            const view = new DataView(new ArrayBuffer(count * 2));
            write[type](view, value);
            const words = Array.from({ length: count }, (_, i) => view.getUint16(i * 2, byteOrder === 'low-first'));
            const decoded = decode(wordOrder === 'low-first' ? words.toReversed() : words, type, {
              wordOrder,
              byteOrder,
            });
            // Adding nothing makes one zero of two.
            expect((type === 'float32' ? Math.fround(decoded) : decoded) + 0).toBe(value + 0);
          },
        ),
      );
    }
  });
});
