import type { ReportedDesired } from '@paddock/shared/desired.ts';

/** How a device does with what shall last on it. */
export interface Convergence {
  readonly epoch: number;
  readonly version: number;
  /** What its newest report says of it; null when that says nothing. */
  readonly reported: ReportedDesired | null;
  /** Whether it holds this version, and could apply all of it. */
  readonly converged: boolean;
}

export const convergenceOf = (epoch: number, version: number, reported: ReportedDesired | null): Convergence => ({
  epoch,
  version,
  reported,
  converged:
    reported?.epoch === epoch && reported.version === version && Object.keys(reported.errors ?? {}).length === 0,
});
