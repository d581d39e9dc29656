import { isCanonicalBase64url } from '@paddock/shared/base64url.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const reencoded = (text: string): string => Buffer.from(text, 'base64url').toString('base64url');

describe('isCanonicalBase64url', () => {
  it('takes every encoding of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(isCanonicalBase64url(Buffer.from(bytes).toString('base64url'))).toBe(true);
      }),
    );
  });

  it('says of any text what encoding its bytes again says', () => {
    const alphabet = fc.constantFrom(...'AQgwBCDEZz019-_+/= \n.é'.split(''));
    fc.assert(
      fc.property(fc.string({ unit: alphabet, maxLength: 12 }), (text) => {
        expect(isCanonicalBase64url(text)).toBe(reencoded(text) === text);
      }),
      { numRuns: 5000 },
    );
  });

  it.each([
    ['padding', 'QQ=='],
    ['a newline', 'QUJD\n'],
    ['a space', 'QU JD'],
    ['the other alphabet', '-+_/'],
    ['set bits behind one byte', 'QR'],
    ['set bits behind two bytes', 'QUJ'],
    ['a single character', 'A'],
    ['a letter outside ASCII', 'QUJDé'],
  ])('refuses %s', (_, text) => {
    expect(isCanonicalBase64url(text)).toBe(false);
  });
});
