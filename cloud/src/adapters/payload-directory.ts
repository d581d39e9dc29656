import { constants } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Stats } from 'node:fs';
import type { Payload, PayloadLook } from '../ports-firmware.ts';

const PIECE_BYTES = 262_144;
const PERMISSION_BITS = 0o7777;

/** A directory of this machine as a payload. */
export function payloadDirectory(root: string): Payload {
  return {
    async list(directory) {
      try {
        return await readdir(join(root, directory), { encoding: 'buffer' });
      } catch (error) {
        if (error instanceof Error && 'code' in error && ['ENOENT', 'ENOTDIR'].includes(String(error.code)))
          return null;
        throw error;
      }
    },
    async look(path) {
      const stats = await lstat(join(root, path));
      return { kind: kindOf(stats), size: stats.size, mode: stats.mode & PERMISSION_BITS };
    },
    readLink: (path) => readlink(join(root, path), { encoding: 'buffer' }),
    async *read(path) {
      await using file = await open(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW);
      for (;;) {
        const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(PIECE_BYTES), 0, PIECE_BYTES, null);
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
      }
    },
  };
}

function kindOf(stats: Stats): PayloadLook['kind'] {
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'other';
}
