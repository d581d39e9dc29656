import type { Signing } from '@paddock/shared/envelope.ts';
import type { Release, Slot } from '@paddock/shared/firmware.ts';
import type { Component, ComponentKind } from '@paddock/shared/inventory.ts';
import type { Host, QualityReason } from '@paddock/shared/report.ts';
import type { UptimeMs, WallMs } from '@paddock/shared/time.ts';

/** The only way to know the time or to wait. No feature reads `Date` or sets a timer itself. */
export interface Clock {
  /** What the machine's wall clock claims. */
  wall(): WallMs;
  /** CLOCK_MONOTONIC_RAW: never slewed by NTP, never set. */
  monotonic(): UptimeMs;
  /** The clock segment: 0 before the first suspend of the boot, a larger number after each. */
  segment(): number;
  /** Resolves after `ms`, or at once when the signal aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's wall clock, to be set: only where the configuration says so. */
export interface WallClock {
  /** @throws an error with a `code`: `clock_set_refused` without the right to do so, `clock_set_failed` otherwise */
  set(to: WallMs): void;
}

/** Runs a task by a cron expression. */
export interface Scheduler {
  /** @returns a function that stops it */
  schedule(cron: string, task: () => void): () => void;
}

/** What the machine knows of itself. */
export interface Machine {
  /** The kernel's boot id, a UUID that changes with every boot. */
  bootId(): Promise<string>;
  health(): Promise<Host>;
}

/** Something that was found in the machine, as it says itself. Nothing of it is cleaned. */
export interface FoundPart {
  readonly kind: ComponentKind;
  readonly name: string;
  readonly manufacturer?: string | null;
  readonly model?: string | null;
  readonly serialNumber?: string | null;
  readonly version?: string | null;
  readonly properties?: Readonly<Record<string, string | number | boolean | null | undefined>>;
}

/** All that was found, and the kinds that could not be looked for. */
export interface Findings {
  readonly parts: readonly FoundPart[];
  readonly unseen: readonly ComponentKind[];
  /** Why not, for people. */
  readonly notes: readonly string[];
}

/** What the machine is made of, as a tree. */
export interface MachineInventory {
  readonly components: readonly Component[];
  readonly unseen: readonly ComponentKind[];
}

/** Looks at the machine, which takes seconds. */
export interface MachineLook {
  /** @throws an error with a `code` when it could not look at all */
  look(signal: AbortSignal): Promise<MachineInventory>;
}

/**
 * Files under the agent's data directory, by relative path. A promise that resolves means
 * that a power cut in the next instant leaves what was written, whole.
 */
export interface Disk {
  /** @param most reads no more than so many bytes from its beginning; absent means all */
  read(path: string, most?: number): Promise<Uint8Array | null>;
  /** Replaces a file whole: after a power cut the old or the new content is there, never a part. */
  replace(path: string, bytes: Uint8Array): Promise<void>;
  /** Appends: after a power cut a part of it may be there, but only at the end of the file. */
  append(path: string, bytes: Uint8Array): Promise<void>;
  remove(path: string): Promise<void>;
}

/** Signs with the device's identity key, which never leaves its holder. */
export type Signer = Signing;

export interface LinkEvents {
  /** A connection stands, subscriptions included. */
  online(): void;
  /** @param code of what ended it, where there is one: of Node or OpenSSL, or the return code of a CONNACK */
  offline(reason: string, code?: string): void;
  message(topic: string, payload: string): void;
}

/** A message that the broker sends on our behalf when the connection breaks, or that we send at its start. */
export interface RetainedMessage {
  readonly topic: string;
  readonly payload: string;
}

export interface LinkOptions {
  readonly url: string;
  readonly clientId: string;
  readonly subscriptions: readonly string[];
  /** Made anew for every connection: `birth` is published retained after connecting, `will` by the broker after a break. */
  readonly presence: () => Promise<{ birth: RetainedMessage; will: RetainedMessage }>;
}

/** The connection to the broker. It reconnects by itself, with back-off and jitter, until it is closed. */
export interface Link {
  open(events: LinkEvents): void;
  /** Resolves when the broker has acknowledged, which says nothing about the cloud. Rejects when offline. */
  publish(topic: string, payload: string): Promise<void>;
  /** Says goodbye and closes cleanly. */
  close(): Promise<void>;
}

/** Whom a TLS server has to prove to be. Judged by us, before the first byte is written. */
export interface ServerTrust {
  /** Certificates of authorities, DER. */
  readonly authorities: readonly Uint8Array[];
  /** Of an authority that the server brings along itself: SHA-256 of its DER, base64url. */
  readonly fingerprint: string | null;
  /** What true time certainly is: what is outside of it is refused. Null: dates are not judged. */
  readonly time: { readonly earliest: WallMs; readonly latest: WallMs | null } | null;
}

/** The key of the device's own TLS certificate: made on the device, and never its identity key. */
export interface TlsKey {
  /** PKCS#8 PEM, for the TLS library. */
  readonly pem: string;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  /** ECDSA with SHA-256, in DER as certificates have it. */
  sign(bytes: Uint8Array): Uint8Array;
}

export interface WebAnswer {
  readonly status: number;
  readonly body: string;
  /** What `Retry-After` asks for. */
  readonly retryAfterSeconds: number | null;
}

/** Requests over HTTPS to one server, on connections that were verified. */
export interface Web {
  /** @throws an error with a `code` when there is no whole answer */
  call(
    method: 'GET' | 'POST',
    path: string,
    body?: { readonly type: string; readonly text: string },
  ): Promise<WebAnswer>;
  close(): void;
}

/** Why a port is not there. */
export interface PortLoss {
  readonly reason: Extract<QualityReason, 'unplugged' | 'silent-port'>;
  readonly detail: string;
}

/** What it takes to open a serial device. */
export interface SerialLine {
  readonly path: string;
  readonly baudRate: number;
  readonly dataBits: 5 | 6 | 7 | 8;
  readonly parity: 'none' | 'even' | 'odd';
  readonly stopBits: 1 | 2;
}

/** One serial port as a stream of bytes, stamped when they were read. */
export interface ByteStream {
  /** Rejects when the port cannot be opened, with what the system said. */
  open(events: { bytes(chunk: Uint8Array, at: UptimeMs): void; lost(loss: PortLoss): void }): Promise<void>;
  close(): Promise<void>;
}

/** The same in both directions. */
export interface DuplexStream extends ByteStream {
  write(bytes: Uint8Array): Promise<void>;
}

export interface RegisterRequest {
  readonly unit: number;
  readonly table: 'holding' | 'input' | 'coil' | 'discrete';
  readonly address: number;
  readonly count: number;
}

/** Why a read on a register bus failed. */
export class BusError extends Error {
  override readonly name = 'BusError';
  readonly code: Extract<QualityReason, 'checksum' | 'no-answer' | 'refused' | 'unplugged' | 'malformed'>;
  constructor(code: BusError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** One Modbus RTU bus with several units on it. One request at a time. */
export interface RegisterBus {
  open(events: { lost(loss: PortLoss): void }): Promise<void>;
  /** 16-bit words, or 0 and 1 for coils and discrete inputs. @throws BusError */
  read(request: RegisterRequest): Promise<readonly number[]>;
  close(): Promise<void>;
}

export type RawValue = boolean | number | string;

/** Where samples of a port go. Times are when the value was read, not when it was handled. */
export interface SensorSink {
  sample(sensor: string, value: RawValue, at: UptimeMs): void;
  /** A reading that failed: the sensor says so at once. */
  fault(sensor: string, reason: QualityReason, at: UptimeMs): void;
  /** Something that happened, with data, such as a card that was swiped. */
  event(name: string, data: Record<string, unknown>, at: UptimeMs): void;
}

/** How a port is doing: opening, open, open without a word for too long, or gone and tried again. */
export interface PortStatus {
  readonly state: 'closed' | 'opening' | 'open' | 'silent' | 'lost';
  /** What is wrong, for people; null when nothing is. */
  readonly detail: string | null;
}

/** A source of readings for one or more sensors: serial lines, a Modbus bus, simulated. */
export interface SensorPort {
  readonly name: string;
  /** Never throws: a port that is not there is opened again until it is closed. */
  open(sink: SensorSink): void;
  status(): PortStatus;
  close(): Promise<void>;
}

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
  /** What the launcher runs, or would run at its next start; null when nothing was ever installed. */
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

/**
 * Two slots, and which of them is run. A promise that resolves means that a power cut in the next instant leaves what
 * was done; whatever is cut leaves a slot that runs. Implementations: directories with the launcher, RAUC.
 */
export interface Installer {
  status(): Promise<InstallerStatus>;
  /** Of the slot that runs; null when there is none. */
  content(): Promise<SlotContent | null>;
  /** A file of the slot that runs; null when there is none, or it is longer than `most`. Nothing of it is checked. */
  read(path: string, most: number): Promise<Uint8Array | null>;
  /** Of the file system that slots and objects lie on. */
  freeBytes(): Promise<number>;
  readonly objects: ObjectStore;
  /**
   * Makes the slot that does not run hold this release, from objects and from files of the slot that runs; everything is
   * synced, then read again and hashed. To be called again after any interruption.
   * @throws InstallError
   */
  stage(content: SlotContent, signal: AbortSignal, progress?: (bytes: number) => void): Promise<void>;
  /** The next start of the launcher is a trial of what was staged: so many starts, then it goes back by itself. */
  activate(sha256: string, starts: number): Promise<void>;
  /** The trial is over: this is what runs from now on. */
  markGood(sha256: string): Promise<void>;
  /** The next start of the launcher runs what was committed. Without a trial: what the other slot holds, on trial. */
  rollBack(): Promise<void>;
}

/** Why something could not be installed. Callers switch on codes. */
export const INSTALL_ERRORS = {
  install_no_space: 'There is too little room on the disk',
  install_object_missing: 'A file is neither among the objects nor in the slot that runs',
  install_verification_failed: 'What was written is not what was signed',
  install_disk_failed: 'The disk failed',
  install_not_staged: 'The other slot does not hold this release whole',
  install_no_other: 'There is nothing to go back to',
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
