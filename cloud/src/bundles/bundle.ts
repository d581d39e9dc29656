import type { IndexEntry } from '@paddock/shared/bundle-index.ts';
import type { Manifest } from '@paddock/shared/manifest.ts';
import type { ObjectEncoding } from './members.ts';

/** An object as it lies in an archive. */
export interface PackedObject {
  readonly encoding: ObjectEncoding;
  readonly bytes: number;
  read(): AsyncIterable<Uint8Array>;
}

/** A bundle that was read whole, and whose every hash fits. Its contents are read from its file when they are asked for. */
export interface Bundle {
  readonly manifest: Manifest;
  readonly manifestBytes: Uint8Array;
  /** SHA-256 of the manifest: the release's digest. */
  readonly sha256: string;
  readonly indexBytes: Uint8Array;
  readonly entries: readonly IndexEntry[];
  readonly sbomBytes: Uint8Array;
  /** Of the archive. */
  readonly bytes: number;
  /** The content of a file of the index, checked once more. @throws BundleError when the file has changed since */
  object(sha256: string): AsyncIterable<Uint8Array>;
  packedObject(sha256: string): PackedObject;
}
