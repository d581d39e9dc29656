import type { Slot } from '@paddock/shared/firmware.ts';
import type { Disk } from '@paddock/agent/ports.ts';
import type { Rauc, RaucSlot } from '@paddock/agent/ports-rauc.ts';
import type { RestartEars } from '@paddock/agent/rauc/installer.ts';
import { RaucSlots } from '@paddock/agent/rauc/slots.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { MemoryDisk } from './memory-disk.ts';

/** The power was cut, or the machine was told to start again: nothing of this boot goes on. */
export class BootOver extends Error {
  override readonly name = 'BootOver';
}

interface FakeSlot {
  /** `half` while it is written. */
  content: string;
  installed: number;
  isBad: boolean;
}

/** Nobody is told that the machine starts again. */
export const DEAF: RestartEars = { restarts() {}, stays() {} };

/** RAUC, the bootloader and the agent's disk in memory, which a power cut leaves as they are between any two changes. */
export class FakeRaucMachine {
  readonly slots: Record<Slot, FakeSlot> = {
    a: { content: 'factory', installed: 0, isBad: false },
    b: { content: '', installed: 0, isBad: false },
  };
  readonly disk = new MemoryDisk();
  primary: Slot = 'a';
  booted: Slot = 'a';
  boots = 0;
  uptime = 60_000;
  /** Marks, in their order. */
  readonly told: string[] = [];
  changes = 0;
  /** Before the change of this number. */
  cutAt: number | null = null;
  /** RAUC itself has the slot started that it wrote. */
  activatesInstalled = false;
  /** RAUC keeps a status of its slots. */
  keepsStatus = true;
  /** The bootloader does not do as it is told. */
  startsAlways: Slot | null = null;
  /** Why RAUC cannot be asked. */
  fault: Error | null = null;

  /** Starts what the bootloader chooses, and the agent with it. */
  boot(): RaucSlots {
    const other = this.primary === 'a' ? 'b' : 'a';
    this.booted = this.startsAlways ?? (this.slots[this.primary].isBad ? other : this.primary);
    this.boots += 1;
    this.uptime = 60_000;
    return this.agent();
  }

  /** Another start of the agent in the same boot. */
  agent(): RaucSlots {
    const disk: Pick<Disk, 'read' | 'replace'> = {
      read: (path) => this.disk.read(path),
      replace: async (path, bytes) => {
        this.#change();
        await this.disk.replace(path, bytes);
      },
    };
    const log = { debug() {}, info() {}, warn() {}, error() {} };
    const clock = { monotonic: () => uptimeMs((this.uptime += 20_000)) };
    return new RaucSlots({ rauc: this.rauc, disk, clock, log, bootId: `boot-${this.boots}` });
  }

  readonly rauc: Rauc = {
    slots: async () => {
      if (this.fault !== null) throw this.fault;
      return (['b', 'a'] as const).map((slot): RaucSlot => ({
        name: nameOf(slot),
        group: 'rootfs',
        isBooted: slot === this.booted,
        isPrimary: slot === this.primary,
        stamp: this.slots[slot].installed === 0 || !this.keepsStatus ? null : `${this.slots[slot].installed}`,
      }));
    },
    install: async (file, progress) => {
      const slot = this.booted === 'a' ? 'b' : 'a';
      this.#change();
      this.slots[slot].isBad = true;
      this.#change();
      this.slots[slot].content = 'half';
      progress(50);
      this.#change();
      this.slots[slot].content = file;
      this.slots[slot].installed += 1;
      if (this.activatesInstalled) await this.rauc.mark('active', nameOf(slot));
    },
    mark: async (as, name) => {
      const slot = name === nameOf('a') ? 'a' : 'b';
      this.#change();
      this.told.push(`${as} ${slot}`);
      this.slots[slot].isBad = as === 'bad';
      if (as === 'active') this.primary = slot;
    },
    reboot: async () => {
      throw new BootOver('told to');
    },
  };

  #change(): void {
    if (this.changes === this.cutAt) {
      this.cutAt = null;
      throw new BootOver('the power is gone');
    }
    this.changes += 1;
  }
}

const nameOf = (slot: Slot): string => (slot === 'a' ? 'rootfs.0' : 'rootfs.1');
