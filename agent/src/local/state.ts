import type { Desired, ReportedDesired } from '@paddock/shared/desired.ts';
import type { ReportedFirmware } from '@paddock/shared/firmware.ts';
import type { Reading, Report } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { ShownApplication } from './applications.ts';

/** The update lock, as it is shown. */
export interface ShownLock {
  readonly owner: string;
  readonly reason: string;
  readonly leftMs: number;
}

/** Everything that the kiosk's own software may read, taken at one moment. */
export interface LocalState {
  readonly device: string;
  readonly agent: { readonly version: string };
  readonly uptimeMs: UptimeMs;
  /** Whether the cloud can be reached now. */
  readonly connection: { readonly online: boolean };
  readonly readings: Readonly<Record<string, Reading>>;
  /** What was taken up of desired state; null before the first. */
  readonly desired: (ReportedDesired & Pick<Desired, 'state'>) | null;
  /** Null on a device that installs nothing. */
  readonly firmware: ReportedFirmware | null;
  readonly lock: ShownLock | null;
  readonly applications: Readonly<Record<string, ShownApplication>>;
  readonly outbox: NonNullable<Report['outbox']>;
}

/** Parts of which each change is told. */
const PARTS = ['connection', 'readings', 'desired', 'firmware', 'lock', 'applications'] as const;
export type Part = (typeof PARTS)[number];

/** A part that is another one than before; of readings and applications only those that are. */
export interface Change {
  readonly part: Part;
  readonly value: unknown;
}

/** What goes on by itself while nothing changes. */
const CLOCKS: readonly string[] = ['ageMs', 'changedAgoMs', 'heldForMs', 'leftMs', 'progressPercent'];
const withoutClocks = (value: unknown): string =>
  JSON.stringify(value, (key, inner: unknown) => (CLOCKS.includes(key) ? undefined : inner));

/** By what it is told whether a part is the same: desired state may hold anything, and never changes within a version. */
const sameness = (part: Part, state: LocalState): string =>
  part === 'desired' ? JSON.stringify(state.desired && { ...state.desired, state: null }) : withoutClocks(state[part]);

/** What is to be told to somebody who knows the state of before. A lock that is taken for longer is told, too. */
export function changesBetween(before: LocalState, after: LocalState): Change[] {
  return PARTS.flatMap((part): Change[] => {
    const isLonger = part === 'lock' && (after.lock?.leftMs ?? 0) > (before.lock?.leftMs ?? 0);
    if (!isLonger && sameness(part, before) === sameness(part, after)) return [];
    const value = part === 'readings' || part === 'applications' ? different(before[part], after[part]) : after[part];
    return [{ part, value }];
  });
}

const different = (before: Readonly<Record<string, unknown>>, after: Readonly<Record<string, unknown>>): object =>
  Object.fromEntries(
    Object.entries(after).filter(([name, value]) => withoutClocks(value) !== withoutClocks(before[name])),
  );
