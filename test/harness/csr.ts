import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';

/** A value of DER (X.690): tag, length, content. */
function der(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(parts);
  const bytes = content.length < 0x80 ? [content.length] : [0x82, content.length >> 8, content.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...bytes]), content]);
}

const SEQUENCE = 0x30;
const ECDSA_WITH_SHA256 = der(SEQUENCE, Buffer.from('06082a8648ce3d040302', 'hex'));

/** A certificate request (RFC 2986) of a P-256 key, written byte by byte: without a name, which nobody reads. */
export function makeCsr(pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })): {
  csr: string;
  privateKey: KeyObject;
} {
  const version = Buffer.from('020100', 'hex');
  const spki = pair.publicKey.export({ type: 'spki', format: 'der' });
  const info = der(SEQUENCE, version, der(SEQUENCE), spki, der(0xa0));
  const signature = sign('sha256', info, pair.privateKey);
  const request = der(SEQUENCE, info, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), signature));
  return { csr: request.toString('base64url'), privateKey: pair.privateKey };
}
