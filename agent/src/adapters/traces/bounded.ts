import { open } from 'node:fs/promises';

/** The beginning of a file, and no more of it. */
export const readHead = (path: string, most: number): Promise<string> => readPart(path, most, () => 0);

/** The end of a file, and no more of it. */
export const readTail = (path: string, most: number): Promise<string> =>
  readPart(path, most, (size) => Math.max(0, size - most));

async function readPart(path: string, most: number, from: (size: number) => number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(most);
    const { bytesRead } = await file.read(bytes, 0, most, from(size));
    return new TextDecoder().decode(bytes.subarray(0, bytesRead));
  } finally {
    await file.close();
  }
}
