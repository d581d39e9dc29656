import type { WallMs } from '@paddock/shared/time.ts';

/** A file that does not change while it is read. */
export interface StillFile {
  readonly bytes: number;
  /** @returns exactly so many bytes, and fewer at the end of the file only */
  read(from: number, bytes: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** What stands at a path of a payload, links not followed. */
export interface PayloadLook {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  /** Permission bits, setuid and the like included. */
  readonly mode: number;
}

/** A directory that goes into a bundle, by relative paths; names are bytes, as file systems hold them. */
export interface Payload {
  /** @param directory '' is the payload itself @returns names in any order; null when there is no such directory */
  list(directory: string): Promise<readonly Uint8Array[] | null>;
  look(path: string): Promise<PayloadLook>;
  readLink(path: string): Promise<Uint8Array>;
  /** Only a file that stands there itself, no link. */
  read(path: string): AsyncIterable<Uint8Array>;
}

/** A file of the repository, opened to be sent. */
export interface SentFile {
  readonly bytes: number;
  /** When its content was written, as HTTP says it. */
  readonly modified: string;
  /** Another one for another content. */
  readonly tag: string;
  /** Closes the file at its end, and when nobody reads on. */
  read(from: number, bytes: number): ReadableStream<Uint8Array>;
  close(): Promise<void>;
}

/** The operator's repository: files below one directory, as any web server can serve them. */
export interface RepositoryFiles {
  /** Null when there is no such file, whatever was asked for. */
  open(path: string): Promise<SentFile | null>;
  has(path: string): Promise<boolean>;
  /** It appears whole and synced, or not at all. */
  put(path: string, content: AsyncIterable<Uint8Array> | Uint8Array): Promise<void>;
  /** What lies in a directory, and since when. */
  list(directory: string): Promise<readonly { readonly name: string; readonly at: WallMs }[]>;
  /** A file, or a directory with all that is in it, where there is one. */
  remove(path: string): Promise<void>;
}

/** An archive that was received and has no name yet. */
export interface ReceivedArchive {
  readonly file: StillFile;
  /** In place of an older one. */
  keepAs(name: string): Promise<void>;
  /** To be called in any case. */
  close(): Promise<void>;
}

/** Archives of bundles, as packs are made from them. */
export interface Archives {
  receive(content: AsyncIterable<Uint8Array>): Promise<ReceivedArchive>;
  open(name: string): Promise<StillFile | null>;
  list(): Promise<readonly string[]>;
  /** Removes what was left before a moment: uploads that were broken off, and archives that nobody keeps. */
  tidy(kept: ReadonlySet<string>, before: WallMs): Promise<void>;
  remove(name: string): Promise<void>;
}
