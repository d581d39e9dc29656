import type { QualityReason } from '@paddock/shared/report.ts';

/** The version of what agent and plug-in drivers say to each other. */
export const DRIVER_CONTRACT = 1;

/** What can be wrong with a plug-in driver. */
export const DRIVER_ERRORS = {
  driver_missing: 'There is no such driver, or it cannot be read',
  driver_unsafe: 'Others than root and the agent may change the driver',
  driver_contract: 'The driver is not made for this agent',
  driver_options_invalid: 'The driver refuses its options',
  driver_threw: 'The driver broke',
  driver_hung: 'The driver stands still',
  driver_lost: 'The driver has lost its device',
} as const satisfies Record<string, string>;
export type DriverCode = keyof typeof DRIVER_ERRORS;

export class DriverError extends Error {
  override readonly name = 'DriverError';
  readonly code: DriverCode;
  /** What its sensors say then. */
  readonly reason: QualityReason;
  constructor(code: DriverCode, detail: string, options?: ErrorOptions) {
    super(`${DRIVER_ERRORS[code]}: ${detail}`, options);
    this.code = code;
    this.reason = code === 'driver_lost' ? 'unplugged' : 'driver-failed';
  }
}

/** What a driver is started with. */
export interface DriverStart {
  readonly file: string;
  /** As they are configured. */
  readonly options: unknown;
  /** What each sensor is to the driver, by sensor. */
  readonly sensors: Readonly<Record<string, string>>;
  readonly events: readonly string[];
}

/** What a driver tells, with how long ago it said so. None of it was looked at. */
export type DriverWord = { readonly agoMs: number } & (
  | { readonly sensor: string; readonly value: unknown }
  | { readonly sensor: string; readonly reason: unknown }
  | { readonly event: string; readonly data: unknown }
);

export interface DriverEvents {
  words(words: readonly DriverWord[]): void;
  /** It lives. */
  pong(): void;
  /** It is over by itself. */
  ended(cause: DriverError): void;
}

/** A driver that was started. */
export interface DriverRun {
  /** Asks whether it lives. */
  ping(): void;
  /** Ends it, whatever it is at. */
  stop(): Promise<void>;
}

/** Runs drivers apart from the agent, so that one that stands still, or eats memory, is ended by itself. */
export interface DriverHost {
  /** Resolves when the driver has opened its device. @throws DriverError. @param signal gives it up */
  start(start: DriverStart, events: DriverEvents, signal: AbortSignal): Promise<DriverRun>;
}
