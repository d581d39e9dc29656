import { readFile } from 'node:fs/promises';

/** How the service proves itself to another broker, and whom it believes there, in PEM. */
export interface ClientTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Files that the settings name. @throws Error of the file system, which names the file */
export async function readClientTls(files: {
  readonly brokerCa: string | null;
  readonly brokerCert: string | null;
  readonly brokerKey: string | null;
}): Promise<ClientTls> {
  const [ca, cert, key] = await Promise.all(
    [files.brokerCa, files.brokerCert, files.brokerKey].map(async (file) => file && readFile(file, 'utf8')),
  );
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}
