import type { Release } from '@paddock/shared/firmware.ts';
import { parseIndex } from '@paddock/shared/bundle-index.ts';
import { raucBundleIn } from '@paddock/shared/rauc-payload.ts';
import { InstallError, type Installer, type Launcher, type ObjectStore } from '../ports-firmware.ts';
import type { Rauc } from '../ports-rauc.ts';
import type { RaucSlots } from './slots.ts';

/** Where downloads lie, for RAUC to read. */
export interface Downloads {
  readonly objects: ObjectStore;
  /** Of an object, as it is on the disk; null when it is not there. */
  hashOf(sha256: string): Promise<string | null>;
  /** Absolute. */
  pathOf(sha256: string): string;
  freeBytes(): Promise<number>;
}

/** The Installer port on RAUC. What it wrote is a file system whole: nothing of it is read, so no release comes as a delta. */
export const createRaucInstaller = (slots: RaucSlots, downloads: Downloads): Installer => ({
  kind: 'rauc',
  status: () => slots.status(),
  async manifest() {
    const manifest = await slots.manifest();
    return manifest === null ? null : new TextEncoder().encode(manifest);
  },
  content: async () => null,
  read: async () => null,
  freeBytes: () => downloads.freeBytes(),
  objects: downloads.objects,
  async stage(content, signal, progress = () => {}) {
    const { sha256, size } = raucBundleIn(parseIndex(content.index));
    // It was checked when it came, and may have waited for days.
    const found = await downloads.hashOf(sha256);
    if (found !== sha256) throw new InstallError('install_object_missing', sha256);
    let done = 0;
    const hear = (percent: number): void => {
      const bytes = Math.floor((size * percent) / 100);
      progress(bytes - done);
      done = bytes;
    };
    await slots.install(content, downloads.pathOf(sha256), hear, signal);
  },
  activate: (sha256, limits) => slots.activate(sha256, limits),
  markGood: (sha256) => slots.markGood(sha256),
  rollBack: () => slots.rollBack(),
});

/** Hears what becomes of the machine. */
export interface RestartEars {
  /** @param next what it starts with then; null where that is no release */
  restarts(next: Release | null): void;
  /** It could not be started again. */
  stays(): void;
}

/** The Launcher port: what the bootloader starts is chosen anew when the machine starts. */
export const createRaucLauncher = (slots: RaucSlots, rauc: Pick<Rauc, 'reboot'>, hear: RestartEars): Launcher => ({
  status: () => slots.running(),
  async restart() {
    // The machine may end this agent before it answers.
    hear.restarts(slots.next());
    try {
      await rauc.reboot();
    } catch (cause) {
      hear.stays();
      throw cause;
    }
  },
});
