import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { BackupError } from './errors.ts';

/**
 * What is inside: frames of one byte of type, four of length (big-endian), and content. An entry begins with its name,
 * goes on with pieces of data, and ends with its checksum. The manifest with all entries ends the archive.
 */
const FRAME = { entry: 1, data: 2, end: 3, manifest: 4 } as const;
const LARGEST_FRAME = 64 * 1024 * 1024;
const LARGEST_PIECE = 16 * 1024 * 1024;
const HEAD_BYTES = 5;

const compress = promisify(zstdCompress);
const inflate = promisify<Uint8Array, { maxOutputLength: number }, Buffer>(zstdDecompress);

type Bytes = AsyncIterable<Uint8Array>;

interface Frame {
  readonly type: number;
  readonly content: Buffer;
}

/** Something to be kept: a table's rows, a file's content, or what is known of the whole. */
export interface Entry {
  readonly kind: 'head' | 'file' | 'table' | 'sequences';
  readonly name: string;
}
export interface EntrySource extends Entry {
  readonly data: Bytes;
}
export interface EntrySum extends Entry {
  /** As it was, before compression. */
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

/** Packs entries, one after the other. Memory: one piece of one entry. @param progress told after each piece */
export async function* pack(
  entries: AsyncIterable<EntrySource>,
  progress: (entry: Entry, bytes: number) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  const manifest: EntrySum[] = [];
  for await (const { data, ...entry } of entries) {
    yield json('entry', entry);
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const piece of data) {
      for (let at = 0; at < piece.byteLength; at += LARGEST_PIECE) {
        const part = piece.subarray(at, at + LARGEST_PIECE);
        yield frame('data', await compress(part));
      }
      hash.update(piece);
      bytes += piece.byteLength;
      progress(entry, piece.byteLength);
    }
    const sum = { ...entry, bytes, sha256: hash.digest('hex') };
    manifest.push(sum);
    yield json('end', sum);
  }
  yield json('manifest', manifest);
}

/**
 * Unpacks what {@link pack} made. The data of an entry has to be read to its end before the next entry is asked for.
 * @throws BackupError `backup_malformed` also when a checksum or the manifest does not fit
 */
export async function* unpack(packed: Bytes): AsyncGenerator<EntrySource> {
  const frames = readFrames(packed);
  const seen: EntrySum[] = [];
  for (;;) {
    const read = await frames.next();
    if (read.done === true) throw new BackupError('backup_malformed', 'it has no manifest');
    const next = read.value;
    if (next.type === FRAME.manifest) {
      if (next.content.toString() !== JSON.stringify(seen)) throw new BackupError('backup_malformed', 'manifest');
      return;
    }
    if (next.type !== FRAME.entry) throw new BackupError('backup_malformed');
    const entry = JSON.parse(next.content.toString()) as Entry;
    yield { ...entry, data: dataOf(frames, entry, seen) };
    if (seen.at(-1)?.name !== entry.name) throw new BackupError('backup_malformed', `${entry.name} was not read`);
  }
}

async function* dataOf(
  frames: AsyncGenerator<Frame, void>,
  entry: Entry,
  seen: EntrySum[],
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  let bytes = 0;
  for (;;) {
    const read = await frames.next();
    if (read.done === true) throw new BackupError('backup_malformed', `${entry.name} has no end`);
    const next = read.value;
    if (next.type === FRAME.end) {
      const sum = { ...entry, bytes, sha256: hash.digest('hex') };
      if (next.content.toString() !== JSON.stringify(sum)) throw new BackupError('backup_malformed', entry.name);
      seen.push(sum);
      return;
    }
    if (next.type !== FRAME.data) throw new BackupError('backup_malformed', entry.name);
    const piece = await inflate(next.content, { maxOutputLength: LARGEST_PIECE });
    hash.update(piece);
    bytes += piece.byteLength;
    yield piece;
  }
}

function frame(type: keyof typeof FRAME, content: Uint8Array): Buffer {
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt8(FRAME[type]);
  head.writeUInt32BE(content.byteLength, 1);
  return Buffer.concat([head, content]);
}

const json = (type: keyof typeof FRAME, content: object): Buffer => frame(type, Buffer.from(JSON.stringify(content)));

async function* readFrames(packed: Bytes): AsyncGenerator<Frame, void> {
  let waiting: Buffer[] = [];
  let bytes = 0;
  let wanted = HEAD_BYTES;
  for await (const piece of packed) {
    waiting.push(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
    bytes += piece.byteLength;
    if (bytes < wanted) continue;
    const all = Buffer.concat(waiting);
    let at = 0;
    for (wanted = sizeAt(all, at); all.length - at >= wanted; wanted = sizeAt(all, at)) {
      yield { type: all.readUInt8(at), content: all.subarray(at + HEAD_BYTES, at + wanted) };
      at += wanted;
    }
    waiting = [all.subarray(at)];
    bytes = all.length - at;
  }
  if (bytes > 0) throw new BackupError('backup_malformed', 'a part of a frame');
}

function sizeAt(all: Buffer, at: number): number {
  if (all.length - at < HEAD_BYTES) return HEAD_BYTES + 1;
  const length = all.readUInt32BE(at + 1);
  if (length > LARGEST_FRAME) throw new BackupError('backup_malformed', 'a frame too large');
  return HEAD_BYTES + length;
}
