import type { Installer, ObjectStore, TreeCalls } from '../ports-firmware.ts';
import { SlotDirectory } from './directory.ts';
import type { InstallerWork } from './installer-work.ts';
import { readWhole } from './record-file.ts';
import { installErrorOf } from './stage.ts';

/** Has a piece of work done, one after the other, and waits for what comes of it. */
export type AskInstaller = <Name extends keyof InstallerWork>(
  name: Name,
  given: Parameters<InstallerWork[Name]>,
  waiting?: { readonly signal: AbortSignal; readonly progress: (bytes: number) => void },
) => Promise<ReturnType<InstallerWork[Name]>>;

/**
 * The Installer port on two slots in a directory. What reads a little is done here; what writes, or takes long, is
 * asked for.
 */
export function createInstaller(calls: TreeCalls, ask: AskInstaller): Installer {
  const slots = new SlotDirectory(calls);
  return {
    kind: 'slots',
    status: async () => look(() => slots.status()),
    manifest: async () => look(() => slots.content()?.manifest ?? null),
    content: async () => look(() => slots.content()),
    read: async (slot, path, most) => look(() => readWhole(calls, `${slot}/${path}`, most)),
    freeBytes: async () => look(() => calls.freeBytes()),
    objects: objectStore(ask),
    async stage(content, signal, progress = () => {}) {
      signal.throwIfAborted();
      try {
        await ask('stage', [content], { signal, progress });
      } catch (cause) {
        // What ended it was asked for.
        signal.throwIfAborted();
        throw cause;
      }
    },
    activate: (sha256, limits) => ask('activate', [sha256, limits]),
    markGood: (sha256) => ask('markGood', [sha256]),
    rollBack: () => ask('rollBack', []),
  };
}

function look<T>(work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw installErrorOf(cause);
  }
}

export function objectStore(ask: AskInstaller): ObjectStore {
  return {
    list: () => ask('list', []),
    put: (sha256, content) => ask('put', [sha256, alone(content)]),
    partBytes: (sha256) => ask('partBytes', [sha256]),
    appendPart: (sha256, bytes) => ask('appendPart', [sha256, alone(bytes)]),
    async *readPart(sha256) {
      await ask('beginReading', [sha256]);
      try {
        for (;;) {
          const bytes = await ask('readOn', [sha256]);
          if (bytes.length === 0) return;
          yield bytes;
        }
      } finally {
        await ask('stopReading', []);
      }
    },
    async putStream(sha256, content) {
      await ask('beginStream', [sha256]);
      try {
        for await (const bytes of content) await ask('writeStream', [sha256, alone(bytes)]);
        await ask('endStream', [sha256]);
      } catch (cause) {
        await ask('abandonStream', [sha256]).catch(() => {});
        throw cause;
      }
    },
    dropPart: (sha256) => ask('dropPart', [sha256]),
    keepOnly: (sha256s) => ask('keepOnly', [sha256s]),
  };
}

/** Whoever is given a part of a buffer in another thread is given all of it. */
const alone = (bytes: Uint8Array): Uint8Array =>
  bytes.byteLength === bytes.buffer.byteLength ? bytes : Uint8Array.from(bytes);
