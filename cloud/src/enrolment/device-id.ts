/** RFC 4648, section 6, in lower case. */
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';
const LONGEST = 36;
const LENGTHS = [8, 12, 16] as const;

/** RFC 4648, base32 without padding, the first `length` characters. */
export function base32(bytes: Uint8Array, length: number): string {
  let bits = '';
  for (const byte of bytes) bits += byte.toString(2).padStart(8, '0');
  const groups = bits.match(/.{5}/g) ?? [];
  return groups.slice(0, length).reduce((text, group) => text + ALPHABET.charAt(parseInt(group, 2)), '');
}

/**
 * The ids that a device which registers itself may get, best first: its model and the beginning of its key's thumbprint,
 * so that the same device always asks for the same one. Longer ones are for keys that begin alike.
 */
export function deviceIdsFor(modelId: string | null, thumbprint: string): string[] {
  const digest = Buffer.from(thumbprint, 'base64url');
  return LENGTHS.map((length) => {
    const prefix = (modelId ?? 'kiosk').slice(0, LONGEST - length - 1).replace(/-+$/, '');
    return `${prefix}-${base32(digest, length)}`;
  });
}
