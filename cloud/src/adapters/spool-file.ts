import { randomBytes } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Spool } from '../ports.ts';

const PIECE = 65_536;

/** A file without a name (mode 0600): nobody else opens it, and the kernel frees it however we end. */
export async function openSpool(folder: string): Promise<Spool> {
  const path = join(folder, `.spool-${randomBytes(8).toString('hex')}`);
  const file = await open(path, 'wx+', 0o600);
  await rm(path);
  return {
    async write(chunk) {
      await file.appendFile(chunk);
    },
    async *read() {
      for (let position = 0; ;) {
        const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE), 0, PIECE, position);
        if (bytesRead === 0) return;
        position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    },
    close: () => file.close(),
  };
}
