import { createHash, hash } from 'node:crypto';
import type { IndexedFile } from '@paddock/shared/bundle-index.ts';
import type { Slot } from '@paddock/shared/firmware.ts';
import type { OpenTreeFile, TreeCalls } from '../ports-firmware.ts';

/** As much of a file as is in memory at once. */
const BUFFER_BYTES = 262_144;

/** So many files are on their way from the disk while one is hashed. */
const FILES_AHEAD = 32;

/** Whoever waits for a stage. */
export interface StageWatch {
  /** Hears of bytes of files that are done. */
  progress(bytes: number): void;
  /** Asked all the time; throws what ends the work. */
  goOn(): void;
}

/** What all files are read with. */
export interface Reading {
  readonly buffer: Uint8Array;
  readonly watch: StageWatch;
}

export const readingFor = (watch: StageWatch): Reading => ({ buffer: Buffer.alloc(BUFFER_BYTES), watch });

/**
 * Reads a file that should be of that size; of a longer one as much as shows that it is.
 * @param each hears of every piece, before the next one takes its place
 * @returns its hash
 */
export function readHashed(
  file: OpenTreeFile,
  size: number,
  { buffer, watch }: Reading,
  each?: (piece: Uint8Array) => void,
): string {
  watch.goOn();
  let count = file.read(buffer);
  let piece = buffer.subarray(0, count);
  each?.(piece);
  // Most files end here: there is nothing behind their size, or it is none of ours. One call hashes in half the time.
  if (count === size && count < buffer.length) return hash('sha256', piece);
  const all = createHash('sha256').update(piece);
  for (let bytes = count; count > 0 && bytes <= size; bytes += count) {
    watch.goOn();
    count = file.read(buffer);
    piece = buffer.subarray(0, count);
    all.update(piece);
    each?.(piece);
  }
  return all.digest('hex');
}

/** Whether each file is what its hash says, from the disk. Those to come are on their way from there meanwhile. */
export function* hashedFresh(
  calls: TreeCalls,
  slot: Slot,
  files: readonly IndexedFile[],
  reading: Reading,
): Generator<[IndexedFile, boolean]> {
  const opened: OpenTreeFile[] = [];
  let next = 0;
  try {
    for (const file of files) {
      for (; next < files.length && opened.length < FILES_AHEAD; next += 1)
        opened.push(calls.openFresh(`${slot}/${files[next]?.path}`));
      const [from] = opened;
      const isRight = from !== undefined && readHashed(from, file.size, reading) === file.sha256;
      opened.shift()?.close();
      yield [file, isRight];
    }
  } finally {
    for (const file of opened) file.close();
  }
}
