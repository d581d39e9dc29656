import type { OutputFault } from './codes.ts';
import type { OutputValue } from './settings.ts';

/** An output as it is. */
export interface OutputState {
  /** What it shall be: its safe level until somebody says something else; null: whatever it is. */
  readonly wanted: OutputValue | null;
  /** What was read back last, or else what the hardware said that it did; null while nobody knows. */
  readonly actual: OutputValue | null;
  readonly fault: OutputFault | null;
}

/** Something that the agent drives, whatever it is on. None of it throws: what fails is tried again, and told. */
export interface Output {
  state(): OutputState;
  /** Takes the hardware there, and keeps it there until something else is wanted. */
  want(value: OutputValue | null): void;
  /** Resolves when it was tried once, where that takes no time. */
  open(): Promise<void>;
  /** Safe at once, as far as that needs no waiting: for the moment at which the process ends. */
  release(): void;
  /** Safe, and let go. */
  close(): Promise<void>;
}
