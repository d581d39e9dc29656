import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeRing,
  EMPTY_RING,
  encodeEntry,
  MAX_ENTRY_BYTES,
  RING_BYTES,
  SLOT_BYTES,
  type FoundEntry,
  type Place,
} from '@paddock/agent/past/ring.ts';

/** A file as the recorder writes it, and what was written, with where each entry lies. */
function written(texts: readonly string[]) {
  const file = new Uint8Array(RING_BYTES);
  const entries: (FoundEntry & { at: number; end: number })[] = [];
  let next: Place = EMPTY_RING.next;
  for (const text of texts) {
    const { sequence } = next;
    const { bytes, at, next: after } = encodeEntry(text, next);
    file.set(bytes, at);
    entries.push({ sequence, text, at, end: at + bytes.length });
    next = after;
  }
  return { file, entries, next };
}

const text = fc.oneof(
  fc.string({ maxLength: 200, unit: 'grapheme' }),
  fc
    .string({ minLength: 1_000, maxLength: 12_000, unit: 'grapheme' })
    .filter((one) => Buffer.byteLength(one) <= MAX_ENTRY_BYTES),
);
const texts = (most: number) => fc.array(text, { maxLength: most });
const plain = ({ sequence, text: said }: FoundEntry): FoundEntry => ({ sequence, text: said });

describe('the ring of the flight recorder', () => {
  it('gives back what was written, in order, and goes on behind it', () => {
    fc.assert(
      fc.property(texts(12), (said) => {
        const { file, entries, next } = written(said);
        expect(decodeRing(file)).toEqual({ entries: entries.map(plain), next });
      }),
    );
  });

  it('holds the newest entries when it has gone round', () => {
    const said = Array.from({ length: 5_000 }, (_, at) => `entry ${at}`);
    const { file, next } = written(said);
    const found = decodeRing(file);
    expect(found.entries.map((entry) => entry.text)).toEqual(said.slice(-RING_BYTES / SLOT_BYTES));
    expect(found.next).toEqual(next);
  });

  it('never breaks an entry over its end', () => {
    const said = Array.from({ length: 300 }, (_, at) => `${at} ${'x'.repeat(5_000)}`);
    const { file, entries, next } = written(said);
    expect(entries.filter(({ end }) => end > RING_BYTES)).toEqual([]);
    const found = decodeRing(file);
    const texts = found.entries.map((entry) => entry.text);
    expect(texts).toEqual(said.slice(-texts.length));
    expect(texts.length).toBeGreaterThan(45);
    expect(found.next).toEqual(next);
  });

  it('read up to any cut is exactly the entries that end before it', () => {
    fc.assert(
      fc.property(texts(40), fc.nat(RING_BYTES), (said, cut) => {
        const { file, entries } = written(said);
        const whole = entries.filter(({ text: one, at }) => at + 16 + Buffer.byteLength(one) <= cut);
        expect(decodeRing(file.subarray(0, cut)).entries).toEqual(whole.map(plain));
      }),
    );
  });

  it('is whole entries and nothing else, whichever of its newest pages a power cut has lost', () => {
    const PAGE = 4_096;
    fc.assert(
      fc.property(
        texts(40),
        fc.nat(40),
        fc.array(fc.boolean(), { minLength: 64, maxLength: 64 }),
        (said, synced, kept) => {
          const { file, entries } = written(said);
          const { file: before } = written(said.slice(0, synced));
          const left = file.slice();
          for (const [page, isKept] of kept.entries())
            if (!isKept) left.set(before.subarray(page * PAGE, (page + 1) * PAGE), page * PAGE);
          const found = decodeRing(left).entries;
          const all = new Map(entries.map((entry) => [entry.sequence, entry.text]));
          expect(found.every((entry) => all.get(entry.sequence) === entry.text)).toBe(true);
          expect(found.map(({ sequence }) => sequence)).toEqual(
            found.map(({ sequence }) => sequence).toSorted((a, b) => a - b),
          );
          // What was synced, and what lies in pages that are there, is there, as far as it was not overwritten.
          const numbers = new Set(found.map(({ sequence }) => sequence));
          const sure = entries.filter(({ sequence, at, end }) => {
            const overwritten = entries.some((other) => other.sequence > sequence && other.at < end && other.end > at);
            const pages = kept.slice(Math.floor(at / PAGE), Math.ceil(end / PAGE));
            return !overwritten && (sequence <= synced || pages.every(Boolean));
          });
          expect(sure.filter(({ sequence }) => !numbers.has(sequence))).toEqual([]);
        },
      ),
    );
  });

  it('finds nothing in a file that is none of ours, and never fails', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4_096 }), (bytes) => {
        expect(decodeRing(bytes)).toEqual(EMPTY_RING);
      }),
    );
  });

  it('loses an entry of which a single bit is another, and no other one', () => {
    const said = ['one', 'two', 'three'];
    const { file, entries } = written(said);
    const [, second] = entries;
    for (let at = second?.at ?? 0; at < (second?.at ?? 0) + 16 + 3; at += 1) {
      const damaged = file.slice();
      damaged[at] = (damaged[at] ?? 0) ^ 4;
      expect(decodeRing(damaged).entries.map((entry) => entry.text)).toEqual(['one', 'three']);
    }
  });
});
