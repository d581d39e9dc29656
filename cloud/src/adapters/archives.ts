import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Archives, StillFile } from '../ports-firmware.ts';

/**
 * Archives of bundles in one directory (mode 0700); those that are on their way have names that no backup takes.
 * @param openFile reads one of them
 */
export function archivesIn(directory: string, openFile: (path: string) => Promise<StillFile>): Archives {
  const placeOf = (name: string): string => join(directory, name);
  return {
    async receive(content) {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const draft = placeOf(`upload.${randomBytes(6).toString('hex')}`);
      const drop = (): Promise<void> => rm(draft, { force: true });
      try {
        await write(draft, content);
        const file = await openFile(draft);
        const close = (): Promise<void> => file.close().then(drop);
        return { file, close, keepAs: (name) => keep(directory, draft, placeOf(name)) };
      } catch (error) {
        await drop();
        throw error;
      }
    },
    open: (name) => openFile(placeOf(name)).catch(missing(null)),
    list: () => readdir(directory).catch(missing([])),
    async tidy(kept, before) {
      for (const name of await readdir(directory).catch(missing([]))) {
        const look = kept.has(name) ? null : await stat(placeOf(name)).catch(missing(null));
        if (look !== null && look.mtimeMs < before) await rm(placeOf(name), { force: true });
      }
    },
    remove: (name) => rm(placeOf(name), { force: true }),
  };
}

const missing =
  <T>(instead: T) =>
  (error: unknown): T => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return instead;
    throw error;
  };

async function write(path: string, content: AsyncIterable<Uint8Array>): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  for await (const piece of content) await file.writeFile(piece);
  await file.sync();
}

async function keep(directory: string, draft: string, path: string): Promise<void> {
  await rename(draft, path);
  await using handle = await open(directory);
  await handle.sync();
}
