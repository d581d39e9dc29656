/** One slot that the bootloader can start, as RAUC tells of it. */
export interface RaucSlot {
  /** `rootfs.0` */
  readonly name: string;
  /** `rootfs` */
  readonly group: string;
  /** The machine runs from it. */
  readonly isBooted: boolean;
  /** The bootloader starts it next, as far as that is known. */
  readonly isPrimary: boolean;
  /** Another one after each installation; null where RAUC keeps no status of its slots. */
  readonly stamp: string | null;
}

/**
 * RAUC, and the machine below it. Marks are the bootloader's: when a promise resolves, a power cut leaves them as they
 * are. Errors are InstallErrors `install_rauc_*`; those of RAUC end with what it said last.
 */
export interface Rauc {
  /** Those that the bootloader can start. */
  slots(): Promise<readonly RaucSlot[]>;
  /**
   * Writes a bundle into the slot that does not run. What was begun goes on when the signal aborts: nobody can stop RAUC,
   * and until it is done it is `install_rauc_busy`.
   * @param file its absolute path @param progress hears percent
   */
  install(file: string, progress: (percent: number) => void, signal: AbortSignal): Promise<void>;
  mark(as: 'good' | 'bad' | 'active', slot: string): Promise<void>;
  /** @throws InstallError `install_reboot_failed` */
  reboot(): Promise<void>;
}
