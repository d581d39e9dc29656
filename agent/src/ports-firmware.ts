import type { DesiredError } from '@paddock/shared/desired.ts';
import type { Release, Slot } from '@paddock/shared/firmware.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';

/** One file below a URL, fetched in parts that are bounded in bytes and in time: no server can keep us, or fill us up. */
export interface Repository {
  /**
   * A small file, whole.
   * @param most more than so many bytes are `fetch_too_large`
   * @returns null when there is none (404)
   * @throws FetchError
   */
  get(path: string, most: number, signal: AbortSignal): Promise<Uint8Array | null>;
  /**
   * A part of a file, in the pieces in which it comes; it ends early where the file ends.
   * @throws FetchError, `fetch_missing` when there is no such file
   */
  part(path: string, from: number, bytes: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** Why something could not be fetched. Callers switch on codes. */
export const FETCH_ERRORS = {
  fetch_missing: 'There is no such file',
  fetch_failed: 'The server cannot be reached, or broke off',
  fetch_refused: 'The server answered with an error',
  fetch_too_large: 'The server sends more than the file may have',
  fetch_too_slow: 'The server sends too slowly',
} as const satisfies Record<string, string>;

export class FetchError extends Error {
  override readonly name = 'FetchError';
  readonly code: keyof typeof FETCH_ERRORS;
  constructor(code: FetchError['code'], detail: string, options?: ErrorOptions) {
    super(`${FETCH_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** A release with what its content is checked by: manifest and index as they were signed. */
export interface SlotContent {
  readonly release: Release;
  readonly manifest: Uint8Array;
  readonly index: Uint8Array;
}

/** What an installer knows of its slots; all of it is on the disk. */
export interface InstallerStatus {
  /**
   * What the launcher runs, or would run at its next start; null when nothing was ever installed, or all was lost. Not
   * committed is a trial, and what stands in for what was lost.
   */
  readonly running: { readonly slot: Slot; readonly release: Release; readonly committed: boolean } | null;
  /** A release on trial: armed, started so many times, given up by the launcher or not. */
  readonly trial: {
    readonly slot: Slot;
    readonly release: Release;
    readonly starts: number;
    readonly givenUp: boolean;
  } | null;
  /** What the other slot holds whole, and could be gone back to. */
  readonly other: Release | null;
  /** The digest of what was committed and is not whole any more; null when all is well. */
  readonly lost: Release['sha256'] | null;
  /** Why nobody can say how the slots stand just now; the rest is what was known last. */
  readonly fault?: DesiredError;
}

/** Objects (contents of files) that arrived and whose hash was checked. They outlive restarts, and are hashed again when used. */
export interface ObjectStore {
  /** Sizes by hash, of those that are whole. */
  list(): Promise<ReadonlyMap<string, number>>;
  /** @param content whose hash the caller has checked */
  put(sha256: string, content: Uint8Array): Promise<void>;
  /** What came so far of an object that is still on its way, as it was encoded: how many bytes. */
  partBytes(sha256: string): Promise<number>;
  appendPart(sha256: string, bytes: Uint8Array): Promise<void>;
  readPart(sha256: string): AsyncIterable<Uint8Array>;
  /** From a stream that the caller checks: it takes the object's place when the stream ends, and nothing when it throws. */
  putStream(sha256: string, content: AsyncIterable<Uint8Array>): Promise<void>;
  dropPart(sha256: string): Promise<void>;
  /** Everything goes, whole or not, but what is named. */
  keepOnly(sha256s: ReadonlySet<string>): Promise<void>;
}

/** Whose slots these are: the agent's own directories, or RAUC's. A release names the one that it is for. */
export type InstallerKind = 'slots' | 'rauc';

/**
 * Two slots, and which of them is run. A promise that resolves means that a power cut in the next instant leaves what
 * was done; whatever is cut leaves a slot that runs. Implementations: directories with the launcher, RAUC with the
 * bootloader.
 */
export interface Installer {
  readonly kind: InstallerKind;
  status(): Promise<InstallerStatus>;
  /** Of the release that runs, as it was signed; null when there is none, or none that is known. */
  manifest(): Promise<Uint8Array | null>;
  /** Of the slot that runs, where its files can be read one by one; null when there is none, or they cannot. */
  content(): Promise<(SlotContent & { readonly slot: Slot }) | null>;
  /** A file of a slot; null when there is none, or it is longer than `most`. Nothing of it is checked. */
  read(slot: Slot, path: string, most: number): Promise<Uint8Array | null>;
  /** Of the file system that slots and objects lie on. */
  freeBytes(): Promise<number>;
  readonly objects: ObjectStore;
  /**
   * Makes the slot that does not run hold this release, from objects and from files of the slot that runs; everything is
   * synced, then read again and hashed. To be called again after any interruption.
   * @throws InstallError
   */
  stage(content: SlotContent, signal: AbortSignal, progress?: (bytes: number) => void): Promise<void>;
  /**
   * The next start of the launcher is a trial of what was staged. It goes back by itself after so many starts, and when
   * a trial is neither marked good nor rolled back within that time of running. A bootloader counts starts as it likes.
   * @throws InstallError `install_not_staged`
   */
  activate(sha256: string, limits: TrialLimits): Promise<void>;
  /** The trial is over: this is what runs from now on. */
  markGood(sha256: string): Promise<void>;
  /** The next start of the launcher runs what was committed. Without a trial: what the other slot holds, on trial. */
  rollBack(): Promise<void>;
}

export interface TrialLimits {
  readonly starts: number;
  readonly withinMs: number;
}

/** What is to be run: written by the agent, and by nobody else. */
export interface BootRecord {
  readonly committed: { readonly slot: Slot; readonly sha256: string } | null;
  /** Each trial has a number of its own, larger than those before. */
  readonly trial: ({ readonly id: number; readonly slot: Slot; readonly sha256: string } & TrialLimits) | null;
}

/** What became of a trial: written by the launcher, and by nobody else. */
export interface LauncherNotes {
  readonly trial: number;
  readonly starts: number;
  readonly givenUp: boolean;
  /** What it ran last of what was committed: what counts when the boot record cannot be read. */
  readonly last: BootRecord['committed'];
}

/** Why something could not be installed. Callers switch on codes. */
export const INSTALL_ERRORS = {
  install_no_space: 'There is too little room on the disk',
  install_object_missing: 'A file is neither among the objects nor in the slot that runs',
  install_verification_failed: 'What was written is not what was signed',
  install_disk_failed: 'The disk failed',
  install_not_staged: 'The other slot does not hold this release whole',
  install_no_other: 'There is nothing to go back to',
  install_trial_running: 'The slot that would be written runs: its trial has to end first',
  install_interrupted: 'The thread that installs broke',
  install_rauc_away: 'RAUC cannot be asked: the program or its service is not there',
  install_rauc_denied: 'The bus does not let this user speak to RAUC',
  install_rauc_busy: 'RAUC is at work for somebody',
  install_rauc_refused: 'RAUC refuses the bundle',
  install_rauc_failed: 'RAUC failed',
  install_rauc_unfit: 'RAUC does not have two slots to start from, or runs from neither',
  install_boot_wrong: 'The bootloader started the slot that was given up',
  install_reboot_failed: 'The machine cannot be started again',
} as const satisfies Record<string, string>;

export class InstallError extends Error {
  override readonly name = 'InstallError';
  readonly code: keyof typeof INSTALL_ERRORS;
  constructor(code: InstallError['code'], detail: string, options?: ErrorOptions) {
    super(`${INSTALL_ERRORS[code]}: ${detail}`, options);
    this.code = code;
  }
}

/** The launcher, which runs what is in a slot and knows nothing of the agent. */
export interface Launcher {
  /** @returns null when no launcher answers */
  status(): Promise<LauncherStatus | null>;
  /** Ends what runs and chooses the slot anew. */
  restart(): Promise<void>;
}
export interface LauncherStatus {
  readonly slot: Slot | null;
  /** The release's digest, as the slot says it. */
  readonly sha256: string | null;
  readonly pid: number | null;
  readonly startedAt: UptimeMs;
  /** How often the program ended and was started again since the slot was chosen. */
  readonly restarts: number;
}

/** How a program ended: by itself, by a signal, or because it could not be started at all. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

/** A program of a slot, with everything that it starts. */
export interface SlotProgram {
  /** Null when the system could start none. */
  readonly pid: number | null;
  readonly ended: Promise<ProgramEnd>;
  /**
   * Asks all of it to end, and makes it end after the grace.
   * @returns how many processes are left all the same: those that the kernel itself holds
   */
  end(graceMs: number): Promise<number>;
}

/** Starts programs of slots. None outlives the launcher, however that ends. */
export interface Starter {
  start(
    command: readonly string[],
    options: { readonly directory: string; readonly environment: Readonly<Record<string, string>> },
  ): SlotProgram;
  /**
   * Ends what an earlier launcher has left behind.
   * @returns how many processes those were
   */
  endLeftovers(graceMs: number): Promise<number>;
}

/** Runs a program of a slot to its end. */
export interface Programs {
  /**
   * At the end of the time it and everything that it started is killed.
   * @returns null as the code when it was killed
   */
  run(
    command: readonly string[],
    options: { readonly directory: string; readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<{ readonly code: number | null; readonly timedOut: boolean; readonly output: string }>;
}

/** zstd, with a dictionary where one is given. */
export interface Zstd {
  /** @throws anything when the bytes do not inflate, or to more than `most` */
  inflate(bytes: Uint8Array, most: number, dictionary?: Uint8Array): Uint8Array;
  /** The same for what is too large to be held in memory. */
  inflateStream(bytes: AsyncIterable<Uint8Array>, most: number): AsyncIterable<Uint8Array>;
}

/** What a path is, without following links. */
export interface TreeEntry {
  readonly kind: 'file' | 'directory' | 'link' | 'other';
  readonly size: number;
  /** Permission bits, setuid and the like included. */
  readonly mode: number;
  /** How many names it has. */
  readonly links: number;
}

export interface OpenTreeFile {
  /** @returns how many bytes were read into the buffer: 0 at the end */
  read(into: Uint8Array): number;
  write(bytes: Uint8Array): void;
  /** fsync(2) */
  sync(): void;
  close(): void;
}

/**
 * Calls of the file system below one directory, by relative paths, whose order decides what a power cut leaves. They
 * block: whoever makes many of them does so in a thread. Errors are Node's.
 */
export interface TreeCalls {
  /** Null when there is nothing. */
  look(path: string): TreeEntry | null;
  list(directory: string): string[];
  readLink(path: string): string;
  /**
   * A new file, never one that is there: what had the name before, be it a link, loses it, and lives on under its other
   * names and in programs that run from it. @param mode whatever the umask is
   */
  create(path: string, mode: number): OpenTreeFile;
  /** Writes behind what is there; the file is made where it is missing. */
  append(path: string, mode: number): OpenTreeFile;
  /** Neither a link nor what it leads to: only a file that stands there itself. */
  open(path: string): OpenTreeFile;
  /** The same; what is read comes from the disk, not from what the system remembers, and is on its way at once. */
  openFresh(path: string): OpenTreeFile;
  setMode(path: string, mode: number): void;
  makeDirectory(path: string): void;
  makeLink(target: string, path: string): void;
  rename(from: string, to: string): void;
  remove(path: string): void;
  removeDirectory(path: string): void;
  /** fsync(2): its names. */
  syncDirectory(path: string): void;
  /** syncfs(2): everything that was written to the file system so far. */
  syncAll(): void;
  freeBytes(): number;
}
