import type { Signing } from '@paddock/shared/envelope.ts';
import type { Component, ComponentKind } from '@paddock/shared/inventory.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
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

/** Who started this program as a service, and watches over it. */
export interface ServiceManager {
  /** It ends the program that has not said for so long that it is well; null: it does not watch. */
  readonly watchdogMs: number | null;
  /** Never waits and never throws: what cannot be told is lost. */
  tell(said: Readonly<Partial<Record<'READY' | 'STATUS' | 'STOPPING' | 'WATCHDOG', string>>>): void;
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

/** An identity key of the device. */
export interface HeldKey {
  readonly signer: Signer;
  /** The public part, as the cloud registers it. */
  readonly public: VerificationKey;
}

/** The identity key, and the one that takes its place. All of it is durable when it resolves. */
export interface IdentityKeys {
  current(): HeldKey;
  /** Null unless a change of keys was begun: from then on this one signs. */
  next(): HeldKey | null;
  /**
   * Makes the next key beside the current one, or goes on with the one that is there.
   * @throws an error with a `code` where the key cannot be changed
   */
  begin(): Promise<HeldKey>;
  /** The next key becomes the current one, which is gone. */
  finish(): Promise<void>;
}

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
  /** What its sensors say then. */
  readonly reason: QualityReason;
  readonly detail: string;
  /** Where the kind of port has codes for what can be wrong with it. */
  readonly code?: string;
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

/** One coil, or one 16-bit register. */
export interface RegisterWrite {
  readonly unit: number;
  readonly table: 'holding' | 'coil';
  readonly address: number;
  /** 0 or 1 for a coil. */
  readonly word: number;
}

/** Why a request on a register bus, or a question on a line, failed. */
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
  /** Resolves when the unit has said that it took it. @throws BusError */
  write(request: RegisterWrite): Promise<void>;
  close(): Promise<void>;
}

/** A bus that sensors read from, to be used between two of their requests. */
export interface SharedBus {
  /** Which opening of the port stands, from 1; 0 while it is not open. */
  life(): number;
  /** In turn with all others. @throws BusError */
  use<T>(work: (bus: Pick<RegisterBus, 'read' | 'write'>) => Promise<T>): Promise<T>;
}

/** What is said on a line of text, and what of all that comes back is the answer. */
export interface LineQuestion {
  readonly bytes: Uint8Array;
  /** What a line is to the question; null: it says something of its own accord. Absent: nothing is waited for. */
  readonly judge?: (line: string) => 'answer' | 'refusal' | null;
  readonly timeoutMs: number;
}

/** A line that sensors listen to, to be spoken on: an answer is for who asked, everything else for the sensors. */
export interface SharedLine {
  /** As of a bus. */
  life(): number;
  /** One question after the other. @returns the line that answered; empty where none is waited for. @throws BusError */
  ask(question: LineQuestion): Promise<string>;
}

export type RawValue = boolean | number | string;

/** Where samples of a port go. Times are when the value was read, not when it was handled. */
export interface SensorSink {
  sample(sensor: string, value: RawValue, at: UptimeMs): void;
  /** A reading that failed: the sensor says so at once. */
  fault(sensor: string, reason: QualityReason, at: UptimeMs): void;
  /** The sensor's line went to and fro unseen: changes and counts are the least that there were. */
  gap(sensor: string, at: UptimeMs): void;
  /** Something that happened, with data, such as a card that was swiped. */
  event(name: string, data: Record<string, unknown>, at: UptimeMs): void;
}

/** How a port is doing: opening, open, open without a word for too long, or gone and tried again. */
export interface PortStatus {
  readonly state: 'closed' | 'opening' | 'open' | 'silent' | 'lost';
  /** What is wrong, for people; null when nothing is. */
  readonly detail: string | null;
  readonly code?: string;
}

/** A source of readings for one or more sensors: serial lines, a Modbus bus, a GPIO chip, simulated. */
export interface SensorPort {
  readonly name: string;
  /** Never throws: a port that is not there is opened again until it is closed. */
  open(sink: SensorSink): void;
  status(): PortStatus;
  close(): Promise<void>;
  /** By which outputs use the port, where its kind has something to drive. */
  readonly shared?: { readonly line: SharedLine } | { readonly bus: SharedBus };
}
