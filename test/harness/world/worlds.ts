import type { CloudClockSpec } from './cloud-clock.ts';
import type { Flaw } from './flaws.ts';
import { HOUR, SECOND } from './spans.ts';

/** As much as crystals do wander, in ppm. */
export const CRYSTALS_WANDER_PPM = 12;

export interface WorldSpec {
  readonly about: string;
  /** Whether every assumption that reconciliation makes holds. */
  readonly honest: boolean;
  /** The most that a crystal deviates from its constant, in ppm. */
  readonly wanderPpm: number;
  readonly cloud: CloudClockSpec;
  /** Half of the devices have it. */
  readonly flaw: Flaw | null;
}

const RIGHT: CloudClockSpec = { swingMs: 0, saysErrorMs: null, stepMs: 0 };
const ORDINARY = { honest: true, wanderPpm: CRYSTALS_WANDER_PPM, cloud: RIGHT, flaw: null } as const;
const BROKEN = { ...ORDINARY, honest: false } as const;

export const WORLDS = {
  ordinary: { ...ORDINARY, about: 'the mix of devices, networks and troubles that is to be expected' },
  'cloud-swings': {
    ...ORDINARY,
    about: 'a cloud clock that is off by up to 4 ms, and says so',
    cloud: { swingMs: 4, saysErrorMs: 4, stepMs: 0 },
  },
  slewed: { ...BROKEN, about: 'a monotonic clock that is slewed by 500 to 5000 ppm for a while', flaw: 'slew' },
  suspend: { ...BROKEN, about: 'machines that are suspended without a new clock segment', flaw: 'suspend' },
  wander: { ...BROKEN, about: 'crystals that wander by up to 60 ppm', wanderPpm: 60 },
  'cloud-steps-10s': {
    ...BROKEN,
    about: 'a cloud clock that is set wrong by 10 s and back',
    cloud: { ...RIGHT, stepMs: 10 * SECOND },
  },
  'cloud-steps-1h': {
    ...BROKEN,
    about: 'a cloud clock that is set wrong by an hour and back',
    cloud: { ...RIGHT, stepMs: HOUR },
  },
  lying: { ...BROKEN, about: 'devices that tell of exchanges as they never were', flaw: 'lie' },
  'uptime-jumps': { ...BROKEN, about: 'uptime that jumps by seconds to a day, forward and back', flaw: 'jump' },
} as const satisfies Record<string, WorldSpec>;
export type WorldName = keyof typeof WORLDS;
