import { BundleError } from '@paddock/shared/bundle-error.ts';

/**
 * The archive is a tar file in POSIX's ustar form, so that every `tar` takes it apart. Of its freedoms none is left: a
 * member's head follows from its name and its size, and is read only as it would be written.
 */
export const BLOCK_BYTES = 512;
/** Two blocks of zeros, and nothing behind them. */
export const END_BYTES = 2 * BLOCK_BYTES;
const CHECKSUM_AT = 148;
const CHECKSUM_BYTES = 8;

export interface MemberHead {
  readonly name: string;
  readonly bytes: number;
}

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, '0')}\0`;

/** Field by field; whose file it is and when it was made is nobody's business. */
const fieldsOf = ({ name, bytes }: MemberHead): readonly (readonly [at: number, text: string])[] => [
  [0, name],
  [100, octal(0o644, 7)],
  [108, octal(0, 7)],
  [116, octal(0, 7)],
  [124, octal(bytes, 11)],
  [136, octal(0, 11)],
  [CHECKSUM_AT, ' '.repeat(CHECKSUM_BYTES)],
  [156, '0'],
  [257, 'ustar\0'],
  [263, '00'],
  [329, octal(0, 7)],
  [337, octal(0, 7)],
];

/** @param head with a name of at most 100 characters of ASCII */
export function formatHead(head: MemberHead): Uint8Array {
  const block = Buffer.alloc(BLOCK_BYTES);
  for (const [at, text] of fieldsOf(head)) block.write(text, at, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)} `, CHECKSUM_AT, 'latin1');
  return block;
}

/** @returns null for a block of zeros, which begins the end @throws BundleError `bundle_malformed` */
export function parseHead(block: Uint8Array): MemberHead | null {
  if (isZero(block)) return null;
  const text = Buffer.from(block).toString('latin1');
  const name = text.slice(0, 100).replace(/\0.*$/s, '');
  const digits = /^[0-7]{11}\0$/.exec(text.slice(124, 136))?.[0];
  const head = { name, bytes: Number.parseInt(digits ?? '', 8) };
  if (digits === undefined || !formatHead(head).every((byte, at) => byte === block[at]))
    throw new BundleError('bundle_malformed', `the head of ${JSON.stringify(name)}`);
  return head;
}

export const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

/** How many zeros fill a member's last block. */
export const paddingOf = (bytes: number): number => (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;
