import { Buffer } from 'node:buffer';
import { crc32 } from 'node:zlib';

/**
 * The flight recorder's file: a ring of fixed size, made of slots. An entry takes whole slots one after the other,
 * never over the end. Its first slot begins with a head, so that every entry is known by itself: wherever writing
 * stopped, whatever a power cut left of the newest pages, what is read is whole entries and nothing else.
 *
 * Head, big-endian: mark (4 bytes), CRC-32 of all that follows (4), sequence (6), length of the text in bytes (2).
 */
export const RING_BYTES = 262_144;
/** A divisor of a page, so that an entry of one slot is never torn over two of them. */
export const SLOT_BYTES = 256;
const HEAD_BYTES = 16;
/** 0xf5 is in no UTF-8: no text can look like a head. */
const MARK = 0xf5_50_44_52;
const SLOTS = RING_BYTES / SLOT_BYTES;
/** The longest entry: room for a stack. */
export const MAX_ENTRY_BYTES = 64 * SLOT_BYTES - HEAD_BYTES;

/** Where the next entry goes, and under which number. */
export interface Place {
  readonly slot: number;
  readonly sequence: number;
}

export interface FoundEntry {
  readonly sequence: number;
  readonly text: string;
}

/** What a ring holds, oldest first. */
export interface FoundRing {
  readonly entries: readonly FoundEntry[];
  readonly next: Place;
}

export const EMPTY_RING: FoundRing = { entries: [], next: { slot: 0, sequence: 1 } };

/**
 * An entry as it is written, and where.
 * @param text at most {@link MAX_ENTRY_BYTES} of UTF-8
 */
export function encodeEntry(text: string, next: Place): { bytes: Uint8Array; at: number; next: Place } {
  const content = Buffer.from(text, 'utf8');
  if (content.length > MAX_ENTRY_BYTES) throw new Error(`An entry of ${content.length} bytes is too long`);
  const slots = Math.ceil((HEAD_BYTES + content.length) / SLOT_BYTES);
  const bytes = Buffer.alloc(slots * SLOT_BYTES);
  bytes.writeUInt32BE(MARK, 0);
  bytes.writeUIntBE(next.sequence, 8, 6);
  bytes.writeUInt16BE(content.length, 14);
  content.copy(bytes, HEAD_BYTES);
  bytes.writeUInt32BE(crc32(bytes.subarray(8, HEAD_BYTES + content.length)), 4);
  const slot = next.slot + slots > SLOTS ? 0 : next.slot;
  return {
    bytes,
    at: slot * SLOT_BYTES,
    next: { slot: (slot + slots) % SLOTS, sequence: next.sequence + 1 },
  };
}

/** Reads any bytes: what is no whole entry is passed over. */
export function decodeRing(bytes: Uint8Array): FoundRing {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found = new Map<number, FoundEntry & { readonly after: number }>();
  for (let slot = 0; slot * SLOT_BYTES + HEAD_BYTES <= file.length && slot < SLOTS; slot += 1) {
    const entry = entryAt(file, slot * SLOT_BYTES);
    if (entry !== null) found.set(entry.sequence, { ...entry, after: slot + slotsOf(entry.bytes) });
  }
  const entries = [...found.values()].toSorted((a, b) => a.sequence - b.sequence);
  const newest = entries.at(-1);
  if (newest === undefined) return EMPTY_RING;
  return {
    entries: entries.map(({ sequence, text }) => ({ sequence, text })),
    next: { slot: newest.after % SLOTS, sequence: newest.sequence + 1 },
  };
}

const slotsOf = (textBytes: number): number => Math.ceil((HEAD_BYTES + textBytes) / SLOT_BYTES);

function entryAt(file: Buffer, at: number): (FoundEntry & { readonly bytes: number }) | null {
  if (file.readUInt32BE(at) !== MARK) return null;
  const bytes = file.readUInt16BE(at + 14);
  const end = at + HEAD_BYTES + bytes;
  if (bytes > MAX_ENTRY_BYTES || end > file.length) return null;
  if (crc32(file.subarray(at + 8, end)) !== file.readUInt32BE(at + 4)) return null;
  return { sequence: file.readUIntBE(at + 8, 6), text: file.toString('utf8', at + HEAD_BYTES, end), bytes };
}
