import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import type { Archives, StillFile } from '../ports-firmware.ts';

/** Archives of bundles in one directory (mode 0700); those that are on their way have names that no backup takes. */
export function archivesIn(directory: string): Archives {
  const placeOf = (name: string): string => join(directory, name);
  return {
    async receive(content) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const draft = placeOf(`upload.${randomBytes(6).toString('hex')}`);
      const handle = await open(draft, 'wx+', 0o600);
      const close = async (): Promise<void> => {
        await handle.close();
        await rm(draft, { force: true });
      };
      try {
        for await (const piece of content) await handle.appendFile(piece);
        await handle.sync();
        const file = await still(handle);
        return { file, close, keepAs: (name) => keep(directory, draft, placeOf(name)) };
      } catch (error) {
        await close();
        throw error;
      }
    },
    async open(name) {
      try {
        return await still(await open(placeOf(name)));
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    },
    async list() {
      try {
        return await readdir(directory);
      } catch (error) {
        if (isMissing(error)) return [];
        throw error;
      }
    },
    remove: (name) => rm(placeOf(name), { force: true }),
  };
}

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

async function keep(directory: string, draft: string, path: string): Promise<void> {
  await rename(draft, path);
  await using handle = await open(directory);
  await handle.sync();
}

async function still(handle: FileHandle): Promise<StillFile> {
  const { size } = await handle.stat();
  return {
    bytes: size,
    async read(from, bytes) {
      const buffer = new Uint8Array(Math.min(bytes, Math.max(0, size - from)));
      for (let at = 0; at < buffer.length; ) {
        const { bytesRead } = await handle.read(buffer, at, buffer.length - at, from + at);
        if (bytesRead === 0) return buffer.subarray(0, at);
        at += bytesRead;
      }
      return buffer;
    },
    close: () => handle.close(),
  };
}
