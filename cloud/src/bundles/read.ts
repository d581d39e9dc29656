import { commandMissing, missingPrograms } from '@paddock/shared/bundle-commands.ts';
import { BundleError } from '@paddock/shared/bundle-error.ts';
import { isFile, parseIndex, type IndexEntry } from '@paddock/shared/bundle-index.ts';
import { MAX_INDEX_BYTES, MAX_MANIFEST_BYTES, parseManifest, type Manifest } from '@paddock/shared/manifest.ts';
import { checkPayload } from '@paddock/shared/rauc-payload.ts';
import { packObjects, type PackObject } from '@paddock/shared/pack.ts';
import type { StillFile } from '../ports-firmware.ts';
import type { Bundle, PackedObject } from './bundle.ts';
import { sha256Of, verified } from './content.ts';
import { INDEX_MEMBER, MANIFEST_MEMBER, objectMember, SBOM_MEMBER, type ObjectEncoding } from './members.ts';
import { BLOCK_BYTES, END_BYTES, isZero, paddingOf, parseHead, type MemberHead } from './tar.ts';
import { inflate } from './zstd.ts';

const PIECE_BYTES = 262_144;
/** Whoever signs a manifest says how long it is; nobody has to hold more. */
export const MAX_SBOM_BYTES = 33_554_432;

interface Member extends MemberHead {
  /** Where its content begins. */
  readonly at: number;
}
interface PlacedObject extends PackObject {
  readonly encoding: ObjectEncoding;
  readonly member: Member;
}

/**
 * Reads an archive to its end and checks all of it: there is one way to write what it holds, compression aside, and
 * every other is refused. Memory: its index, and a piece of one file.
 * @throws BundleError
 */
export async function readBundle(file: StillFile): Promise<Bundle> {
  const manifestMember = await memberAt(file, 0, MANIFEST_MEMBER, MAX_MANIFEST_BYTES, 'manifest_invalid');
  const manifestBytes = await contentOf(file, manifestMember);
  const manifest = parseManifest(manifestBytes);
  const index = await memberAt(file, endOf(manifestMember), INDEX_MEMBER, MAX_INDEX_BYTES, 'index_too_large');
  const indexBytes = hashed(await contentOf(file, index), manifest.index, INDEX_MEMBER);
  const entries = parseIndex(indexBytes);
  checkSums(manifest, entries);
  const [missing] = missingPrograms(manifest, entries);
  if (missing !== undefined) throw commandMissing(missing);
  checkPayload(manifest, entries);
  const sbom = await memberAt(file, endOf(index), SBOM_MEMBER, MAX_SBOM_BYTES, 'bundle_malformed');
  const sbomBytes = hashed(await contentOf(file, sbom), manifest.sbom, SBOM_MEMBER);
  const objects = await placeObjects(file, endOf(sbom), packObjects(entries, null));
  for (const { sha256 } of objects.values()) await drain(contentOfObject(file, placed(objects, sha256)));
  return {
    manifest,
    manifestBytes,
    sha256: sha256Of(manifestBytes),
    indexBytes,
    entries,
    sbomBytes,
    bytes: file.bytes,
    object: (sha256) => contentOfObject(file, placed(objects, sha256)),
    packedObject: (sha256) => packedObject(file, placed(objects, sha256)),
  };
}

function placed(objects: ReadonlyMap<string, PlacedObject>, sha256: string): PlacedObject {
  const object = objects.get(sha256);
  if (object === undefined) throw new BundleError('hash_mismatch', `there is no object ${sha256}`);
  return object;
}

const packedObject = (file: StillFile, { encoding, member }: PlacedObject): PackedObject => ({
  encoding,
  bytes: member.bytes,
  read: () => piecesOf(file, member),
});

/** Where each object lies, and that nothing else does. */
async function placeObjects(
  file: StillFile,
  from: number,
  objects: readonly PackObject[],
): Promise<Map<string, PlacedObject>> {
  const found = new Map<string, PlacedObject>();
  let at = from;
  for (const object of objects) {
    const head = await headAt(file, at);
    const encoding = head?.name.endsWith('.zst') === true ? 'zstd' : 'plain';
    const member = { ...memberOf(head, objectMember(object.sha256, encoding, head?.bytes ?? 0).name, found), at };
    const fits = encoding === 'zstd' ? member.bytes < object.size : member.bytes === object.size;
    if (!fits) throw new BundleError('size_mismatch', member.name);
    const content = { ...member, at: at + BLOCK_BYTES };
    await checkPadding(file, content);
    found.set(object.sha256, { ...object, encoding, member: content });
    at = endOf(content);
  }
  await checkEnd(file, at, found);
  return found;
}

async function memberAt(
  file: StillFile,
  at: number,
  name: string,
  most: number,
  tooLarge: 'manifest_invalid' | 'index_too_large' | 'bundle_malformed',
): Promise<Member> {
  const head = memberOf(await headAt(file, at), name, new Map());
  if (head.bytes > most) throw new BundleError(tooLarge, `${name} has ${head.bytes} bytes`);
  const member = { ...head, at: at + BLOCK_BYTES };
  await checkPadding(file, member);
  return member;
}

async function headAt(file: StillFile, at: number): Promise<MemberHead | null> {
  const block = await file.read(at, BLOCK_BYTES);
  if (block.length < BLOCK_BYTES) throw new BundleError('bundle_truncated');
  return parseHead(block);
}

function memberOf(head: MemberHead | null, expected: string, seen: ReadonlyMap<string, PlacedObject>): MemberHead {
  if (head === null) throw new BundleError('bundle_truncated', `${expected} is missing`);
  if (head.name === expected) return head;
  throw unexpected(head.name, seen);
}

function unexpected(name: string, seen: ReadonlyMap<string, PlacedObject>): BundleError {
  const isRepeated =
    [MANIFEST_MEMBER, INDEX_MEMBER, SBOM_MEMBER].includes(name) ||
    [...seen.values()].some(({ member }) => member.name === name);
  return new BundleError(isRepeated ? 'path_duplicate' : 'bundle_malformed', `the member ${JSON.stringify(name)}`);
}

const endOf = ({ at, bytes }: Member): number => at + bytes + paddingOf(bytes);

async function checkPadding(file: StillFile, member: Member): Promise<void> {
  if (endOf(member) > file.bytes) throw new BundleError('bundle_truncated', `in ${member.name}`);
  const padding = await file.read(member.at + member.bytes, paddingOf(member.bytes));
  if (!isZero(padding)) throw new BundleError('bundle_malformed', `what fills up ${member.name} is not empty`);
}

async function checkEnd(file: StillFile, at: number, seen: ReadonlyMap<string, PlacedObject>): Promise<void> {
  const end = await file.read(at, END_BYTES);
  const head = end.length < BLOCK_BYTES ? null : parseHead(end.subarray(0, BLOCK_BYTES));
  if (head !== null) throw unexpected(head.name, seen);
  if (!isZero(end)) throw new BundleError('bundle_malformed', 'the end of the archive is not empty');
  if (end.length < END_BYTES) throw new BundleError('bundle_truncated', 'without its end');
  if (file.bytes > at + END_BYTES) throw new BundleError('bundle_padded', `${file.bytes - at - END_BYTES} bytes`);
}

const contentOf = (file: StillFile, { at, bytes }: Member): Promise<Uint8Array> => file.read(at, bytes);

function hashed(bytes: Uint8Array, said: Manifest['index'], what: string): Uint8Array {
  if (bytes.length !== said.bytes) throw new BundleError('size_mismatch', what);
  if (sha256Of(bytes) !== said.sha256) throw new BundleError('hash_mismatch', what);
  return bytes;
}

function checkSums(manifest: Manifest, entries: readonly IndexEntry[]): void {
  const files = entries.filter(isFile);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (manifest.files !== files.length || manifest.bytes !== bytes)
    throw new BundleError('size_mismatch', `the index has ${files.length} files of ${bytes} bytes`);
}

async function* piecesOf(file: StillFile, { name, at, bytes }: Member): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < bytes; from += PIECE_BYTES) {
    const wanted = Math.min(PIECE_BYTES, bytes - from);
    const piece = await file.read(at + from, wanted);
    if (piece.length < wanted) throw new BundleError('bundle_truncated', `in ${name}`);
    yield piece;
  }
}

function contentOfObject(file: StillFile, { encoding, member, ...object }: PlacedObject): AsyncGenerator<Uint8Array> {
  const pieces = piecesOf(file, member);
  const content = encoding === 'zstd' ? inflate(pieces, member.bytes) : pieces;
  return verified(content, object, `object ${object.sha256}`);
}

async function drain(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _ of pieces);
}
