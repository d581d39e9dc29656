import type { TestKey } from './signing.ts';

/** Order of the group of P-256 (SEC 2, section 2.4.2). */
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

const encode = (data: Uint8Array | string): string => Buffer.from(data).toString('base64url');

/** A compact JWS of any header and any payload, whatever the protocol thinks of them; signed all the same. */
export async function jwsOf(header: object | string, payload: Uint8Array | string, key: TestKey): Promise<string> {
  const input = `${encode(typeof header === 'string' ? header : JSON.stringify(header))}.${encode(payload)}`;
  return `${input}.${encode(await key.signing.sign(Buffer.from(input)))}`;
}

/** The other valid ES256 signature of the same content: (r, n - s). Anyone can make it. */
export function twinOf(jws: string): string {
  const [header, payload, signature = ''] = jws.split('.');
  const bytes = Buffer.from(signature, 'base64url');
  const s = N - BigInt(`0x${bytes.toString('hex', 32)}`);
  const twin = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  return `${header}.${payload}.${encode(twin)}`;
}
