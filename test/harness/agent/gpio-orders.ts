import type { OutputState } from '@paddock/agent/act/output.ts';
import type { PortState } from '@paddock/agent/sense/sensors.ts';
import type { Reading } from '@paddock/shared/report.ts';

/** What gpio-program.ts does when it is told to. */
export type Order =
  | { readonly kind: 'set'; readonly output: string; readonly level: boolean }
  /** Draws a pin, and then lets nothing else run for a while. */
  | { readonly kind: 'pull-and-stall'; readonly file: string; readonly pull: string; readonly ms: number }
  /** Lets nothing else run until that file is there. */
  | { readonly kind: 'stall-until'; readonly file: string };

/** Tests write it, so its form is theirs. */
export const orderOf = (text: string): Order => JSON.parse(text) as Order;

export interface GpioProgramState {
  readonly at: number;
  readonly readings: Readonly<Record<string, Reading>>;
  readonly ports: readonly PortState[];
  readonly outputs: Readonly<Record<string, OutputState>>;
  readonly rssMiB: number;
  readonly processorMs: number;
}
