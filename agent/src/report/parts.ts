import type { Answer } from '@paddock/shared/answer.ts';
import type { Began, Trouble } from '@paddock/shared/began.ts';
import type { ReportedDesired, ReportedOutput } from '@paddock/shared/desired.ts';
import type { Deflate, Inflate } from '@paddock/shared/envelope.ts';
import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import type { VerificationKey } from '@paddock/shared/keys.ts';
import type { Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Clock, Disk, Link, Machine, Scheduler, Signer } from '../ports.ts';
import type { Log } from './log.ts';
import type { OutboxLimits } from './outbox.ts';
import type { Pace } from './pace.ts';
import type { Timekeeper } from './timekeeper.ts';

/** Where readings, urgent changes and events come from. */
export interface SensorSource {
  open(events: {
    urgent(sensor: string): void;
    event(name: string, data: Record<string, unknown>, at: UptimeMs): void;
  }): void;
  /** All at the same moment: now, or that of the report. */
  readings(at?: UptimeMs): Readonly<Record<string, Reading>>;
  /** Those that the first report waits for a moment for; absent: all of them. */
  settling?(): Readonly<Record<string, Reading>>;
  close(): Promise<void>;
}

/** What installs firmware, as reports see it. */
export interface FirmwareSource {
  reported(): ReportedFirmware;
  /** @param changed hears of every change of state */
  watch(changed: () => void): void;
  /** The cloud has answered a report. */
  cloudReached(): void;
}

/** What drives outputs, as reports see it. */
export interface OutputSource {
  reported(): Readonly<Record<string, ReportedOutput>> | null;
  /** @param asked when the report was sent that the cloud answered. @param isCurrent it named what is held of desired state */
  answered(asked: Moment, isCurrent: boolean): void;
  /** How old the last exchange may grow; null: no output asks for more of them. */
  askAfterMs(): number | null;
  begin(hears: { readonly changed: () => void; readonly ask: () => void }): void;
}

/** What is told of the start before, until the cloud knows. */
export interface PastSource {
  /** Null once an answer of this start came. */
  began(): Began | null;
  /** Ids of the crash reports that the cloud is not known to have. */
  crashes(): readonly string[];
  troubles(): readonly Trouble[];
  answered(answer: Answer): void;
}

export interface SessionParts {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly link: Link;
  readonly signer: Signer;
  readonly machine: Machine;
  readonly scheduler: Scheduler;
  readonly deflater: Deflate;
  readonly inflater: Inflate;
  readonly sensors: SensorSource;
  readonly time: Timekeeper;
  /** What the machine is made of: its digest is in reports that ask, and answers may want it. */
  readonly inventory?: { digest(): string | null; answered(wants: Answer['wants']): void };
  /** What shall last on this device: reports say what of it holds, and hear of what was taken up. */
  readonly desired?: {
    message(topic: string, payload: string): Promise<void>;
    answered(current: Answer['desired']): Promise<void>;
    reported(): ReportedDesired | null;
    begin(changed: () => void): void;
  };
  /** What the device runs, and how its update does: in every report, and reported when it changes. */
  readonly firmware?: FirmwareSource;
  /** What the device drives: in every report, reported when it changes, and told whether the cloud is there. */
  readonly outputs?: OutputSource;
  /** Why this start began, what is kept of crashes, and what is wrong with the machine. */
  readonly past?: PastSource;
  /** The interface for the kiosk's own software, which waits for answers to its events. */
  readonly local?: { answered(answer: Answer): void };
  readonly log: Log;
}

export interface SessionOptions {
  readonly device: string;
  readonly incarnation: string;
  readonly start: number;
  readonly agentVersion: string;
  /** The cloud's online keys: pinned at registration, or as the newest list of keys has them. */
  readonly cloudKeys: () => readonly VerificationKey[];
  /** The epoch of the newest list of keys: absent for a device that was registered by hand and has none. */
  readonly leastEpoch?: () => number;
  /** Hears of answers by a key that is none of them. */
  readonly keyUnknown?: () => void;
  /** Hears which list of keys is the newest, as answers say. */
  readonly keyListSeen?: (version: number, epoch: number) => void;
  readonly pace: Pace;
  readonly jitterMs: number;
  readonly urgentMinIntervalMs: number;
  readonly outbox: OutboxLimits;
}
