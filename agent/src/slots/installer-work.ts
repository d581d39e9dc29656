import type { Release } from '@paddock/shared/firmware.ts';
import { MAX_FILE_BYTES } from '@paddock/shared/manifest.ts';
import type { OpenTreeFile, SlotContent, TreeCalls, TrialLimits } from '../ports-firmware.ts';
import { SlotDirectory } from './directory.ts';
import type { StageWatch } from './hash-files.ts';
import { objectPath } from './object-path.ts';
import { Objects } from './objects.ts';
import { hashOf } from './record-file.ts';
import { stage } from './stage.ts';

/** What the other slot holds is tried once, for as long as the slowest health check may take. */
const BACK_LIMITS: TrialLimits = { starts: 1, withinMs: 3_600_000 };
const READ_BYTES = 262_144;

/**
 * What an installer does with the disk, in calls that block: it runs in a thread of its own. Who asks waits for each
 * answer, so an object that was put is durable, or known not to be, before it is staged.
 */
export function createInstallerWork(calls: TreeCalls, watch?: StageWatch) {
  const slots = new SlotDirectory(calls);
  const objects = new Objects(calls);
  let readingInto: Uint8Array | null = null;
  let reading: { readonly sha256: string; readonly file: OpenTreeFile } | null = null;
  const stopReading = (): void => {
    reading?.file.close();
    reading = null;
    readingInto = null;
  };
  return {
    stage(content: SlotContent): void {
      objects.settle();
      stage(calls, { content, ...slots.vacate() }, watch);
    },
    activate: (sha256: Release['sha256'], limits: TrialLimits): void => slots.activate(sha256, limits),
    markGood: (sha256: Release['sha256']): void => slots.markGood(sha256),
    rollBack: (): void => slots.rollBack(BACK_LIMITS),
    list: (): Map<string, number> => objects.list(),
    put: (sha256: string, content: Uint8Array): void => objects.put(sha256, content),
    settle: (): void => objects.settle(),
    /** What it is on the disk, by its hash; null when it is not there. */
    hashOf(sha256: string): string | null {
      objects.settle();
      return hashOf(calls, objectPath(sha256), MAX_FILE_BYTES);
    },
    partBytes: (sha256: string): number => objects.partBytes(sha256),
    appendPart: (sha256: string, bytes: Uint8Array): void => objects.appendPart(sha256, bytes),
    dropPart: (sha256: string): void => objects.dropPart(sha256),
    beginReading(sha256: string): void {
      stopReading();
      const file = objects.openPart(sha256);
      if (file !== null) reading = { sha256, file };
    },
    /** @returns nothing at the end */
    readOn(sha256: string): Uint8Array {
      if (reading?.sha256 !== sha256) return new Uint8Array();
      readingInto ??= new Uint8Array(READ_BYTES);
      return readingInto.slice(0, reading.file.read(readingInto));
    },
    stopReading,
    beginStream: (sha256: string): void => objects.beginStream(sha256),
    writeStream: (sha256: string, bytes: Uint8Array): void => objects.writeStream(sha256, bytes),
    endStream: (sha256: string): void => objects.endStream(sha256),
    abandonStream: (sha256: string): void => objects.abandonStream(sha256),
    keepOnly: (sha256s: ReadonlySet<string>): void => objects.keepOnly(sha256s),
  };
}
export type InstallerWork = ReturnType<typeof createInstallerWork>;
