import { readFile } from 'node:fs/promises';

/** How the service proves itself to another broker, and whom it believes there, in PEM. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Files that the settings name.
 * @returns what all connections show, or what each of them does
 * @throws Error of the file system, which names the file
 */
export async function readClientTls(files: {
  readonly brokerCa: string | null;
  readonly brokerCert: readonly string[] | null;
  readonly brokerKey: readonly string[] | null;
}): Promise<readonly ClientTls[]> {
  const read = (file: string): Promise<string> => readFile(file, 'utf8');
  const ca = files.brokerCa === null ? {} : { ca: await read(files.brokerCa) };
  if (files.brokerCert === null) return [ca];
  const pairs = files.brokerCert.map(async (cert, at) => ({
    ...ca,
    cert: await read(cert),
    key: await read(files.brokerKey?.[at] ?? ''),
  }));
  return Promise.all(pairs);
}
