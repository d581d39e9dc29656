import { readFile } from 'node:fs/promises';

/** A file that somebody named on the command line, and that cannot be read. */
export class NamedFileError extends Error {
  override readonly name = 'NamedFileError';
  readonly code = 'file_missing';
}

/** @throws NamedFileError */
export const readNamed = (path: string): Promise<string> => readFile(path, 'utf8').catch(unreadable(path));

export const unreadable =
  (path: string) =>
  (cause: unknown): never => {
    const why = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
    throw new NamedFileError(`${path} cannot be read${why}`, { cause });
  };
