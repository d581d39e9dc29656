import { createHash } from 'node:crypto';
import type { TreeCalls } from '../ports-firmware.ts';

/** Small records that must survive a power cut: the text, and a check over it by which a damaged one is known. */
const MAX_RECORD_BYTES = 4096;
/** As much of a file that is only hashed is in memory at once. */
const PIECE_BYTES = 65_536;

/** @returns null when there is none, or it is damaged */
export function readRecord(calls: TreeCalls, path: string): unknown {
  const bytes = readWhole(calls, path, MAX_RECORD_BYTES);
  if (bytes === null) return null;
  const [text = '', check = '', ...rest] = bytes.toString('utf8').split('\n');
  if (check !== checkOf(text) || rest.join('') !== '') return null;
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function writeRecord(calls: TreeCalls, path: string, record: object): void {
  const text = JSON.stringify(record);
  replaceFile(calls, path, Buffer.from(`${text}\n${checkOf(text)}\n`));
}

const checkOf = (text: string): string => createHash('sha256').update(text).digest('base64url').slice(0, 22);

/** The content before the name, and the name before it returns: after a power cut the old file or the new one is there. */
export function replaceFile(calls: TreeCalls, path: string, bytes: Uint8Array, mode = 0o644): void {
  const temporary = `${path}.tmp`;
  const file = calls.create(temporary, mode);
  try {
    file.write(bytes);
    file.sync();
  } finally {
    file.close();
  }
  calls.rename(temporary, path);
  calls.syncDirectory(directoryOf(path));
}

/** @returns null when there is no file, or a longer one */
export function readWhole(calls: TreeCalls, path: string, most: number): Buffer | null {
  const entry = calls.look(path);
  if (entry?.kind !== 'file' || entry.size > most) return null;
  const file = calls.open(path);
  try {
    const bytes = Buffer.alloc(entry.size);
    let at = 0;
    for (let count = 1; count > 0 && at < bytes.length; at += count) count = file.read(bytes.subarray(at));
    return bytes.subarray(0, at);
  } finally {
    file.close();
  }
}

/** @returns null when there is no file, or a longer one */
export function hashOf(calls: TreeCalls, path: string, most: number): string | null {
  const entry = calls.look(path);
  if (entry?.kind !== 'file' || entry.size > most) return null;
  const file = calls.open(path);
  try {
    const hash = createHash('sha256');
    const piece = Buffer.allocUnsafe(Math.min(PIECE_BYTES, entry.size + 1));
    for (let count = file.read(piece); count > 0; count = file.read(piece)) hash.update(piece.subarray(0, count));
    return hash.digest('hex');
  } finally {
    file.close();
  }
}

export const directoryOf = (path: string): string => path.split('/').slice(0, -1).join('/') || '.';
