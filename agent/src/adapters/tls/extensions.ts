/**
 * Extensions of an X.509 certificate (RFC 5280, section 4.2), read out of its DER: Node's X509Certificate says
 * neither which are critical nor how long a path may be.
 */
export interface Extension {
  /** Content bytes of its object identifier, in hex. */
  readonly id: string;
  readonly critical: boolean;
  /** What the OCTET STRING holds. */
  readonly value: Uint8Array;
}

/** 2.5.29.n in hex, and what each is for. */
export const EXTENSIONS = {
  keyUsage: '551d0f',
  subjectAltName: '551d11',
  basicConstraints: '551d13',
  extendedKeyUsage: '551d25',
} as const;

const TAG = { boolean: 0x01, integer: 0x02, octets: 0x04, oid: 0x06, sequence: 0x30, extensions: 0xa3 } as const;

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/** @throws RangeError when the bytes are no DER */
export function extensionsOf(certificate: Uint8Array): Extension[] {
  const [whole] = elementsOf(certificate);
  const [toBeSigned] = elementsOf(whole?.content ?? new Uint8Array());
  const holder = elementsOf(toBeSigned?.content ?? new Uint8Array()).find(({ tag }) => tag === TAG.extensions);
  const [list] = elementsOf(holder?.content ?? new Uint8Array());
  return elementsOf(list?.content ?? new Uint8Array()).map(({ content }) => extensionOf(elementsOf(content)));
}

function extensionOf(parts: readonly Element[]): Extension {
  const id = parts.find(({ tag }) => tag === TAG.oid);
  const value = parts.find(({ tag }) => tag === TAG.octets);
  if (!id || !value) throw new RangeError('An extension without its name or value');
  const critical = parts.some(({ tag, content }) => tag === TAG.boolean && content[0] !== 0);
  return { id: Buffer.from(id.content).toString('hex'), critical, value: value.content };
}

/** How many authorities may stand between this one and the leaf; null when nothing bounds it. */
export function pathLengthOf(extensions: readonly Extension[]): number | null {
  const found = extensions.find(({ id }) => id === EXTENSIONS.basicConstraints);
  const [constraints] = elementsOf(found?.value ?? new Uint8Array());
  const length = elementsOf(constraints?.content ?? new Uint8Array()).find(({ tag }) => tag === TAG.integer);
  return length === undefined ? null : length.content.reduce((number, byte) => number * 256 + byte, 0);
}

/** Whether the key may sign a handshake (digitalSignature, the first bit); true where its use is not restricted. */
export function maySignHandshakes(extensions: readonly Extension[]): boolean {
  const found = extensions.find(({ id }) => id === EXTENSIONS.keyUsage);
  if (!found) return true;
  const [bits] = elementsOf(found.value);
  return ((bits?.content[1] ?? 0) & 0x80) !== 0;
}

function elementsOf(bytes: Uint8Array): Element[] {
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const { content, end } = contentAt(bytes, at + 1);
    elements.push({ tag: bytes[at] ?? 0, content: bytes.subarray(content, end) });
    at = end;
  }
  return elements;
}

/** Lengths of DER: one byte, or up to four that follow their count (X.690, section 8.1.3). */
function contentAt(bytes: Uint8Array, at: number): { content: number; end: number } {
  const first = bytes[at] ?? Infinity;
  const count = first < 0x80 ? 0 : first - 0x80;
  if (count > 4 || first === 0x80) throw new RangeError('A length that DER does not have');
  const long = bytes.subarray(at + 1, at + 1 + count).reduce((number, byte) => number * 256 + byte, 0);
  const content = at + 1 + count;
  const end = content + (count === 0 ? first : long);
  if (end > bytes.length) throw new RangeError('DER that ends too early');
  return { content, end };
}
