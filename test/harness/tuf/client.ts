import type { Disk } from '@paddock/agent/ports.ts';
import type { FirstRoot } from '@paddock/agent/tuf/beginning.ts';
import { openTuf, type Tuf, type TufParts } from '@paddock/agent/tuf/tuf.ts';
import { wallMs } from '@paddock/shared/time.ts';
import { MemoryDisk } from '../agent/memory-disk.ts';
import { EPOCH, TufSimulator } from './simulator.ts';

const HOUR = 3_600_000;

/** A device with its disk and its idea of the time, before a repository that may lie. */
export class TufDevice {
  readonly repository: TufSimulator;
  readonly said: { code?: string; file?: string }[] = [];
  disk: Disk;
  time: { earliest: number; latest: number | null } = { earliest: EPOCH + HOUR, latest: EPOCH + HOUR };
  firstRoot: FirstRoot | null;
  #tuf: Promise<Tuf> | null = null;

  constructor(repository = new TufSimulator(), disk: Disk = new MemoryDisk()) {
    this.repository = repository;
    this.disk = disk;
    this.firstRoot = repository.firstRoot;
  }

  at(days: number): void {
    const at = EPOCH + days * 24 * HOUR;
    this.time = { earliest: at, latest: at };
  }

  tuf(): Promise<Tuf> {
    const hear = (fields: object): void => void this.said.push(fields);
    const parts: TufParts = {
      disk: this.disk,
      repository: this.repository,
      time: () => ({
        earliest: wallMs(this.time.earliest),
        latest: this.time.latest === null ? null : wallMs(this.time.latest),
      }),
      firstRoot: () => this.firstRoot,
      log: { debug: hear, info: hear, warn: hear, error: hear },
    };
    return (this.#tuf ??= openTuf(parts));
  }

  /** The agent ends and starts again: all that it knows is on the disk. */
  restart(disk: Disk = this.disk): void {
    this.disk = disk;
    this.#tuf = null;
  }

  refresh = async () => (await this.tuf()).refresh(AbortSignal.timeout(60_000));

  manifestOf = async (sha256: string, counter = 1, withoutTime = false) =>
    (await this.tuf()).manifestOf({ name: 'charger', counter, sha256 }, AbortSignal.timeout(60_000), { withoutTime });

  target = async (path: string) => (await this.tuf()).target(path, 100_000, AbortSignal.timeout(60_000));

  versions = async () => (await this.tuf()).versions();

  /** The code of what a refresh throws; null when it throws nothing. */
  refusal = (): Promise<string | null> => codeThrown(this.refresh());
}

export const codeThrown = (work: Promise<unknown>): Promise<string | null> =>
  work.then(
    () => null,
    (cause: unknown) => (cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)),
  );
