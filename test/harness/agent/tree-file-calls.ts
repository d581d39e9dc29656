import { dirname } from 'node:path';
import type { FileCalls, OpenFile } from '@paddock/agent/adapters/disk-calls.ts';
import type { OpenTreeFile } from '@paddock/agent/ports-firmware.ts';
import type { TreeFiles } from './tree-files.ts';

/** The calls that the Disk port's own adapter makes, on a file system that knows what survives a power cut. */
export const treeFileCalls = (files: TreeFiles): FileCalls => ({
  mkdir: async (path) => {
    if (files.look(path) === null) files.makeDirectory(path);
  },
  async open(path, flags, mode) {
    if (flags === 'r') return directory(files, path);
    return openFile(flags === 'w' ? files.overwrite(path, mode) : files.append(path, mode));
  },
  rename: async (from, to) => files.rename(from, to),
  unlink: async (path) => {
    if (files.look(path) === null) throw missing(path);
    files.remove(path);
  },
  readFile: async (path, most) => {
    const bytes = files.bytes(path);
    if (bytes === null) throw missing(path);
    return bytes.subarray(0, most);
  },
});

const openFile = (file: OpenTreeFile): OpenFile => ({
  write: async (bytes) => file.write(bytes),
  sync: async () => file.sync(),
  datasync: async () => file.sync(),
  close: async () => file.close(),
});

const directory = (files: TreeFiles, path: string): OpenFile => {
  const sync = async (): Promise<void> => files.syncDirectory(path === dirname(path) ? '.' : path);
  return { write: () => Promise.reject(missing(path)), sync, datasync: sync, close: async () => {} };
};

const missing = (path: string): Error => Object.assign(new Error(`ENOENT: ${path}`), { code: 'ENOENT' });
