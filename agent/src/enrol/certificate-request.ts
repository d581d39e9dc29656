import type { TlsKey } from './tls-key.ts';

const TAG = { integer: 0x02, bitString: 0x03, oid: 0x06, utf8: 0x0c, sequence: 0x30, set: 0x31, attributes: 0xa0 };
/** id-at-commonName, and ecdsa-with-SHA256 (RFC 5758, section 3.2), as content bytes. */
const COMMON_NAME = [0x55, 0x04, 0x03];
const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/**
 * A certificate request (PKCS#10, RFC 2986) without attributes. It is this short, so it is made by hand: the library
 * for it would take more memory than the whole of the agent's own code, for good.
 * @param name the common name; the cloud puts the device's id in its place
 * @returns DER
 */
export function certificateRequest(name: string, { publicKey, sign }: Pick<TlsKey, 'publicKey' | 'sign'>): Uint8Array {
  const attribute = sequence(element(TAG.oid, COMMON_NAME), element(TAG.utf8, new TextEncoder().encode(name)));
  const subject = sequence(element(TAG.set, attribute));
  const version = element(TAG.integer, [0]);
  const info = sequence(version, subject, publicKey, element(TAG.attributes, []));
  const algorithm = sequence(element(TAG.oid, ECDSA_WITH_SHA256));
  return sequence(info, algorithm, element(TAG.bitString, [0, ...sign(info)]));
}

const sequence = (...parts: Uint8Array[]): Uint8Array => element(TAG.sequence, Buffer.concat(parts));

/** Lengths as X.690, section 8.1.3, has them: one byte below 128, otherwise behind their count, in as few as they take. */
function element(tag: number, content: ArrayLike<number>): Uint8Array {
  const { length } = content;
  const long = length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Uint8Array.from([tag, ...(length < 0x80 ? [length] : long), ...Array.from(content)]);
}
