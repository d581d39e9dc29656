import { compilePattern, patternFault } from '@paddock/agent/sense/line-format.ts';
import { repeatsItself } from '@paddock/agent/sense/pattern-loops.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

describe('patterns', () => {
  it.each([
    '^(a+)+$',
    '^(?:a*)*$',
    String.raw`^(?<all>\w+)*!`,
    '^(?:[a-z)]+){2,}$',
    String.raw`^(?:\s*\d+\s*)+$`,
    '^(?:(a+)?b*)+$',
    '^(?:x|(?:a+?))+$',
    String.raw`^(?:\u0061+)+$`,
    String.raw`^(?:\p{L}+)+$`,
    '^(?=(a+)+$)',
    '^((?:ab)+)+$',
  ])('that repeat what repeats itself are refused: %s', (pattern) => {
    expect(() => compilePattern(pattern)).not.toThrow();
    expect(repeatsItself(pattern)).toBe(true);
    expect(patternFault(pattern)).toMatch(/^repeats what repeats itself/);
  });

  it.each([
    '^DOOR=(?<door>open|closed)$',
    String.raw`^T=(?<t>-?\d+(?:\.\d+)?)(?:,\d+)*$`,
    String.raw`^(?:\w+=\d+;)+$`,
    String.raw`^(?:\(a+\))+$`,
    '^(?:[(a+)+]x)+$',
    String.raw`^(?:\ba+)+$`,
    '^(?:^a+|b)+$',
    '^(?:(?=a+)b)+$',
    '^(?:a+)?(?:b{2,3})+$',
    '^(a+)(b+c)*?d$',
    '^.*$',
    '[)(]+',
    '(?<=a+)b+',
  ])('that do not are taken: %s', (pattern) => {
    expect(patternFault(pattern)).toBeNull();
  });

  it('of any text are read to their end', () => {
    const piece = fc.constantFrom('a', '(', ')', '(?:', '+', '*', '|', '[', ']', '\\', '{2,}', '?', '^', '\\k<a>');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        expect(() => repeatsItself(pieces.join(''))).not.toThrow();
      }),
    );
  });
});
