import type { Trouble } from '@paddock/shared/began.ts';

/** A file of fixed size whose blocks are all there: writing into it needs no room on the disk. */
export interface FixedFile {
  /** To the kernel: what was written outlives the process, and a power cut only some time later. */
  write(at: number, bytes: Uint8Array): Promise<void>;
  /** The same, and done when it returns. */
  writeNow(at: number, bytes: Uint8Array): void;
  /** What was written outlives a power cut. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** How a service manager saw a process end: systemd's SERVICE_RESULT, EXIT_CODE and EXIT_STATUS (systemd.exec(5)). */
export interface SupervisorWord {
  readonly result: string;
  readonly code: string;
  readonly status: string;
}

/** What the kernel kept of a panic. */
export interface FoundPanic {
  /** The same for the same panic, whenever it is read. */
  readonly id: string;
  readonly title: string;
  readonly text: string;
  /** What is taken away when it was told; none where that is another program's. */
  readonly files: readonly string[];
}

/** What is found of how things ended before this start. Whatever cannot be read is not there. */
export interface FoundTraces {
  /** This process, as the log of the kernel would name it. */
  readonly pid: number;
  /** Watchdogs of the hardware that say that they reset the machine. */
  readonly watchdogs: readonly string[];
  readonly panics: readonly FoundPanic[];
  readonly supervisor: SupervisorWord | null;
  /** Node's own report of an error from which it could not go on. */
  readonly fatal: { readonly event: string; readonly stack: string } | null;
  /** How often the kernel killed for memory: in the agent's control group, and on the machine in this boot. */
  readonly oomKills: { readonly own: number | null; readonly machine: number | null };
  /** Processes that the log of the kernel says were killed for memory, and these lines of it. */
  readonly killed: readonly number[];
  readonly kernel: string;
}

export interface Traces {
  /** Never rejects. */
  look(): Promise<FoundTraces>;
  /** From here on Node writes a report where it breaks; what the last one left is gone. */
  begin(): Promise<void>;
  /** Takes away what the kernel kept. Never rejects: who may not, leaves it. */
  takeAway(files: readonly string[]): Promise<void>;
}

/** How the agent and its machine are. */
export interface Vitals {
  memory(): { readonly rssMiB: number; readonly heapMiB: number; readonly heapLimitMiB: number };
  /** What is wrong with the machine. */
  troubles(): Promise<readonly Trouble[]>;
}
