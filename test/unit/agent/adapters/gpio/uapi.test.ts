import {
  chipIn,
  descriptorIn,
  eventsIn,
  inputRequest,
  levelIn,
  lineIn,
  lineQuestion,
  outputRequest,
  valuesOf,
} from '@paddock/agent/adapters/gpio/uapi.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const INPUT = { line: 3, activeLow: false, bias: 'as-is', edges: 'both', debounceUs: 0 } as const;

/** The flags of `linux/gpio.h`, as it numbers them. */
const flagsOf = (request: Buffer): number => Number(request.readBigUInt64LE(288));

describe('what is asked of the kernel', () => {
  it('is one line with its consumer, and all the events that the kernel can keep', () => {
    const request = inputRequest(3, INPUT, 'paddock:door');
    expect(request).toHaveLength(592);
    expect([request.readUInt32LE(0), request.readUInt32LE(560), request.readUInt32LE(564)]).toEqual([3, 1, 1024]);
    expect(request.toString('latin1', 256, 269)).toBe('paddock:door\0');
    expect(flagsOf(request)).toBe(0b110100);
  });

  it.each([
    [{ edges: 'none' }, 0b100],
    [{ edges: 'rising', activeLow: true }, 0b10110],
    [{ edges: 'falling', bias: 'pull-up' }, 0b100100100],
    [{ edges: 'none', bias: 'pull-down' }, 0b1000000100],
    [{ edges: 'none', bias: 'off' }, 0b10000000100],
  ] as const)('has the flags of an input: %j', (settings, flags) => {
    expect(flagsOf(inputRequest(0, { ...INPUT, ...settings }, 'x'))).toBe(flags);
  });

  it.each([
    [{ drive: 'push-pull' }, 0b1000],
    [{ drive: 'open-drain' }, 0b1001000],
    [{ drive: 'open-source', activeLow: true }, 0b10001010],
  ] as const)('has the flags of an output: %j', (settings, flags) => {
    const request = outputRequest(0, { line: 0, activeLow: false, bias: 'as-is', ...settings }, true, 'x');
    expect(flagsOf(request)).toBe(flags);
    // One attribute: the values (2) of the first line, which is 1.
    expect([296, 320, 328, 336].map((at) => request.readUInt32LE(at))).toEqual([1, 2, 1, 1]);
  });

  it('has the period of debouncing as an attribute, and no attribute without one', () => {
    const request = inputRequest(0, { ...INPUT, debounceUs: 5000 }, 'x');
    expect([296, 320, 328, 336].map((at) => request.readUInt32LE(at))).toEqual([1, 3, 5000, 1]);
    expect(inputRequest(0, INPUT, 'x').readUInt32LE(296)).toBe(0);
  });

  it('cuts a name that is too long before the kernel would read past it', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 100 }), (user) => {
        expect(inputRequest(0, INPUT, user)[287]).toBe(0);
      }),
    );
  });

  it('asks for the level of its line, or sets it', () => {
    expect(levelIn(valuesOf(true))).toBe(true);
    expect(levelIn(valuesOf(false))).toBe(false);
    expect(valuesOf(false).readUInt32LE(8)).toBe(1);
  });
});

describe('what the kernel answers', () => {
  it('is a chip', () => {
    const bytes = Buffer.alloc(68);
    bytes.write('gpiochip0');
    bytes.write('pinctrl-bcm2711', 32);
    bytes.writeUInt32LE(58, 64);
    expect(chipIn(bytes)).toEqual({ name: 'gpiochip0', label: 'pinctrl-bcm2711', lineCount: 58 });
  });

  it('is a line, with who has it', () => {
    const bytes = lineQuestion(17);
    expect(lineIn(bytes)).toEqual({ line: 17, name: null, user: null, direction: 'input', activeLow: false });
    bytes.write('GPIO17');
    bytes.writeUInt32LE(0b1011, 72);
    expect(lineIn(bytes)).toMatchObject({ name: 'GPIO17', user: 'somebody without a name', direction: 'output' });
    bytes.write('x'.repeat(32), 32);
    expect(lineIn(bytes)).toMatchObject({ user: 'x'.repeat(32), activeLow: true });
  });

  it('is the descriptor of the line', () => {
    const request = inputRequest(0, INPUT, 'x');
    request.writeInt32LE(17, 588);
    expect(descriptorIn(request)).toBe(17);
  });

  it('is events, whole ones only, of an uptime of years', () => {
    const bytes = Buffer.alloc(48 * 2 + 7);
    const years = 4n * 365n * 86_400n * 1_000_000_000n;
    bytes.writeBigUInt64LE(years + 1_500_000n, 0);
    bytes.writeUInt32LE(1, 8);
    bytes.writeUInt32LE(0xffff_ffff, 20);
    bytes.writeUInt32LE(2, 48 + 8);
    expect(eventsIn(bytes)).toEqual([
      { stampMs: Number(years / 1_000_000n) + 1.5, rising: true, sequence: 0xffff_ffff },
      { stampMs: 0, rising: false, sequence: 0 },
    ]);
  });
});
