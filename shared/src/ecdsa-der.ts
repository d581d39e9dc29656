/** r and s of 32 bytes each, big-endian (RFC 7518, section 3.4). */
const HALF = 32;
const SEQUENCE = 0x30;
const INTEGER = 0x02;

/** An ES256 signature of 64 bytes as ECDSA-Sig-Value in DER (RFC 3279, section 2.2.3), the form of OpenSSL. */
export function derOfEs256(raw: Uint8Array): Uint8Array {
  const [r, s] = [raw.subarray(0, HALF), raw.subarray(HALF)].map(shortest);
  if (raw.length !== 2 * HALF || r === undefined || s === undefined) throw new RangeError('not r and s of 32 bytes');
  const der = new Uint8Array(6 + r.length + s.length);
  der.set([SEQUENCE, 4 + r.length + s.length, INTEGER, r.length]);
  der.set(r, 4);
  der.set([INTEGER, s.length], 4 + r.length);
  der.set(s, 6 + r.length);
  return der;
}

/** The way back: the 64 bytes of a DER signature that our own library made. */
export function es256OfDer(der: Uint8Array): Uint8Array {
  const rLength = der[3] ?? 0;
  const raw = new Uint8Array(2 * HALF);
  [der.subarray(4, 4 + rLength), der.subarray(6 + rLength)].forEach((integer, n) => {
    const digits = integer.length > HALF ? integer.subarray(integer.length - HALF) : integer;
    raw.set(digits, (n + 1) * HALF - digits.length);
  });
  return raw;
}

/** DER integers: the fewest bytes, and a leading zero where the first one would look like a sign. */
function shortest(bytes: Uint8Array): Uint8Array {
  let first = 0;
  while (first < bytes.length - 1 && bytes[first] === 0) first += 1;
  const digits = bytes.subarray(first);
  if ((digits[0] ?? 0) < 0x80) return digits;
  const padded = new Uint8Array(digits.length + 1);
  padded.set(digits, 1);
  return padded;
}
