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
