import { zstdCompressSync } from 'node:zlib';
import { parseIndex } from '@paddock/shared/bundle-index.ts';
import { formatPackHead, packObjects, type PackEncoding } from '@paddock/shared/pack.ts';
import type { TestRelease } from './agent/slots.ts';

interface Encoded {
  readonly encoding: PackEncoding;
  readonly bytes: Uint8Array;
}

const ENCODINGS: readonly PackEncoding[] = ['plain', 'zstd', 'delta'];

/**
 * A pack between two releases of a test, as the service makes it; written apart, so that both are held against the page.
 * @param may how objects may be encoded
 */
export function packOf(to: TestRelease, from: TestRelease | null, may = ENCODINGS): Uint8Array {
  const objects = packObjects(parseIndex(to.index), from && parseIndex(from.index)).map(({ sha256, base }): Encoded => {
    const content = contentOf(to, sha256);
    return encode(content, base && from ? contentOf(from, base.sha256) : null, may);
  });
  const index = encode(Buffer.from(to.index), from && Buffer.from(from.index));
  const part = ({ encoding, bytes }: Encoded) => ({ encoding, bytes: bytes.length });
  const head = formatPackHead({ index: part(index), objects: objects.map(part) });
  return Buffer.concat([head, index.bytes, ...objects.map(({ bytes }) => bytes)]);
}

function encode(content: Buffer, base: Buffer | null, may = ENCODINGS): Encoded {
  const ways: Encoded[] = [
    { encoding: 'plain', bytes: content },
    { encoding: 'zstd', bytes: zstdCompressSync(content) },
    ...(base ? [{ encoding: 'delta' as const, bytes: zstdCompressSync(content, { dictionary: base }) }] : []),
  ];
  const allowed = ways.filter(({ encoding }) => may.includes(encoding));
  return allowed.toSorted((a, b) => a.bytes.length - b.bytes.length)[0] ?? { encoding: 'plain', bytes: content };
}

function contentOf({ files, index }: TestRelease, sha256: string): Buffer {
  const entry = parseIndex(index).find((each) => 'sha256' in each && each.sha256 === sha256);
  return Buffer.from((entry && files[entry.path]) ?? '');
}
