import { createCipheriv, createDecipheriv } from 'node:crypto';
import { BackupError } from './errors.ts';
import { chunkKey, makeLock, secretOf, type LockHeader, type LockWith, type OpenWith } from './keys.ts';

/**
 * The file: a line of magic, a line of JSON, then chunks of 64 KiB, each with AES-256-GCM and its tag. A chunk's nonce is
 * its number and whether it is the last (the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár, 2015): none
 * can be altered, moved, repeated or left out, nor the end be cut off. Its key is used for this file only.
 */
const MAGIC = 'paddock-backup 1\n';
const CHUNK = 64 * 1024;
const TAG = 16;
const LONGEST_HEADER = 4096;

export interface SealedHeader {
  readonly backupId: string;
  /** RFC 3339 UTC. */
  readonly createdAt: string;
  readonly lock: LockHeader;
}

type Bytes = AsyncIterable<Uint8Array>;

/** Locks a stream. Memory: one chunk. */
export async function* seal(
  plain: Bytes,
  head: Omit<SealedHeader, 'lock'>,
  lockWith: LockWith,
): AsyncGenerator<Uint8Array> {
  const { header, secret } = await makeLock(lockWith);
  const line = Buffer.from(`${JSON.stringify({ ...head, lock: header } satisfies SealedHeader)}\n`);
  const key = chunkKey(secret, line);
  yield Buffer.concat([Buffer.from(MAGIC), line]);
  let number = 0;
  for await (const { bytes, isLast } of inChunks(plain, CHUNK)) {
    const cipher = createCipheriv('aes-256-gcm', key, nonceOf(number, isLast), { authTagLength: TAG });
    yield Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]);
    number += 1;
  }
}

/**
 * Opens a stream: what it yields is authentic, and it ends only where the file was meant to end.
 * @throws BackupError `backup_malformed`, `backup_damaged`, `passphrase_missing`
 */
export async function* unseal(sealed: Bytes, openWith: OpenWith): AsyncGenerator<Uint8Array> {
  const { line, rest } = await readHeader(sealed);
  const key = chunkKey(await secretOf(parseHeader(line).lock, openWith), line);
  let number = 0;
  for await (const { bytes, isLast } of inChunks(rest, CHUNK + TAG)) {
    yield openChunk(key, nonceOf(number, isLast), bytes);
    number += 1;
  }
}

function openChunk(key: Buffer, nonce: Buffer, bytes: Buffer): Buffer {
  if (bytes.length < TAG) throw new BackupError('backup_damaged');
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG });
  decipher.setAuthTag(bytes.subarray(-TAG));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(0, -TAG)), decipher.final()]);
  } catch (cause) {
    throw new BackupError('backup_damaged', undefined, { cause });
  }
}

function nonceOf(number: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUIntBE(number, 5, 6);
  nonce.writeUInt8(isLast ? 1 : 0, 11);
  return nonce;
}

/** All of one size but the last, which may be empty, and is known to be the last. */
async function* inChunks(source: Bytes, size: number): AsyncGenerator<{ bytes: Buffer; isLast: boolean }> {
  let waiting = Buffer.alloc(0);
  for await (const piece of source) {
    waiting = Buffer.concat([waiting, piece]);
    let at = 0;
    for (; waiting.length - at > size; at += size) yield { bytes: waiting.subarray(at, at + size), isLast: false };
    waiting = waiting.subarray(at);
  }
  yield { bytes: waiting, isLast: true };
}

async function readHeader(sealed: Bytes): Promise<{ line: Buffer; rest: Bytes }> {
  const source = sealed[Symbol.asyncIterator]();
  let read = Buffer.alloc(0);
  for (;;) {
    const end = read.indexOf('\n', MAGIC.length);
    if (end >= 0 && read.subarray(0, MAGIC.length).toString() === MAGIC)
      return { line: read.subarray(MAGIC.length, end + 1), rest: following(read.subarray(end + 1), source) };
    const next = read.length > LONGEST_HEADER ? { done: true as const } : await source.next();
    if (next.done === true) throw new BackupError('backup_malformed');
    read = Buffer.concat([read, next.value]);
  }
}

async function* following(first: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield first;
  for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value;
}

function parseHeader(line: Buffer): SealedHeader {
  try {
    const header = JSON.parse(line.toString()) as SealedHeader;
    const { kind } = header.lock;
    if (kind === 'passphrase' || kind === 'recipient') return header;
  } catch (cause) {
    throw new BackupError('backup_malformed', undefined, { cause });
  }
  throw new BackupError('backup_malformed');
}
