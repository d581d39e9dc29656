/** Base64url without padding (RFC 7515, section 2; RFC 4648, section 5). */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const CANONICAL = /^[A-Za-z0-9_-]*$/;

/**
 * Whether a text is the one encoding of its bytes: only the alphabet, no padding, no newline,
 * and no set bits behind the last byte. Two texts for the same bytes would let anyone make a
 * second envelope out of a signed one.
 */
export function isCanonicalBase64url(text: string): boolean {
  if (!CANONICAL.test(text)) return false;
  const tail = text.length % 4;
  if (tail === 0) return true;
  if (tail === 1) return false;
  const unusedBits = tail === 2 ? 0b1111 : 0b11;
  return (ALPHABET.indexOf(text.at(-1) ?? '') & unusedBits) === 0;
}

export const encodeBase64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

/** 8 bytes of the platform's secure generator: an incarnation or a nonce. */
export const randomBase64url = (): string => encodeBase64url(crypto.getRandomValues(new Uint8Array(8)));

/** SHA-256 over the text's UTF-8, in base64url. */
export const sha256Base64url = async (text: string): Promise<string> =>
  encodeBase64url(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))));
