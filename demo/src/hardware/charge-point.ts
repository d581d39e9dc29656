/**
 * The physics of a charge point as a pure function of time: whoever looks at the same moment sees the same,
 * and a second start of the demonstration goes on where the world is by then.
 *
 * Every cycle has one session: a driver plugs in, swipes a card, charges, and leaves. Each session delivers the
 * same energy at a power of its own, so that the meter's total is known without adding sessions up.
 */
export interface ChargePoint {
  readonly doorOpen: boolean;
  readonly connector: 'available' | 'occupied';
  /** The plug is locked and current may flow. */
  readonly charging: boolean;
  readonly stopPressed: boolean;
  readonly display: string;
  /** The card that was swiped last, and the cycle in which it was: a new pair is a new swipe. */
  readonly card: { readonly number: string; readonly cycle: number };
  readonly voltageV: number;
  readonly currentA: number;
  readonly powerW: number;
  readonly energyWh: number;
  readonly frequencyHz: number;
  readonly temperatureC: number;
}

const CYCLE_S = 75;
const SESSION_WH = 80;
/** When the first driver came: 2026-01-01T00:00:00Z. */
const OPENED_MS = 1_767_225_600_000;
const SWIPE_AFTER_S = 4;
const RAMP_S = 2;
const LINGER_S = 5;
const DOOR_EVERY_CYCLES = 3;

interface Session {
  readonly plugAt: number;
  readonly swipeAt: number;
  readonly powerW: number;
  readonly endAt: number;
  readonly leaveAt: number;
}

/** @param wallMs any moment, in ms since 1970 */
export function chargePointAt(wallMs: number): ChargePoint {
  const seconds = Math.max(0, wallMs - OPENED_MS) / 1000;
  const cycle = Math.floor(seconds / CYCLE_S);
  const time = seconds - cycle * CYCLE_S;
  const session = sessionOf(cycle);
  const plugged = time >= session.plugAt && time < session.leaveAt;
  const charging = time >= session.swipeAt && time < session.endAt;
  const powerW = charging ? session.powerW * Math.min(1, (time - session.swipeAt) / RAMP_S) : 0;
  const voltageV = 231.5 + 1.5 * Math.sin(seconds / 97) - powerW / 4000;
  return {
    doorOpen: cycle % DOOR_EVERY_CYCLES === 0 && time >= 69,
    connector: plugged ? 'occupied' : 'available',
    charging,
    stopPressed: time >= session.endAt - 0.4 && time < session.endAt,
    display: displayOf(plugged, charging, time < session.swipeAt),
    card: swipedBy(time >= session.swipeAt ? cycle : cycle - 1),
    voltageV,
    currentA: powerW / voltageV,
    powerW,
    energyWh: cycle * SESSION_WH + deliveredWh(session, time),
    frequencyHz: 50 + 0.03 * Math.sin(seconds / 13) + 0.01 * Math.sin(seconds / 3.1),
    temperatureC: 24 + 4 * Math.sin(seconds / 611) + (charging ? 0.2 * (time - session.swipeAt) : 0),
  };
}

function sessionOf(cycle: number): Session {
  const plugAt = 5 + 10 * chance(cycle, 1);
  const powerW = 7000 + 4000 * chance(cycle, 2);
  const swipeAt = plugAt + SWIPE_AFTER_S;
  // Half of the ramp is lost, so it is added to the time at full power.
  const endAt = swipeAt + (SESSION_WH * 3600) / powerW + RAMP_S / 2;
  return { plugAt, swipeAt, powerW, endAt, leaveAt: endAt + LINGER_S };
}

/** The integral of the power: a ramp, then a constant. */
function deliveredWh(session: Session, time: number): number {
  const charged = Math.min(time, session.endAt) - session.swipeAt;
  if (charged <= 0) return 0;
  const fullSeconds = charged < RAMP_S ? charged ** 2 / (2 * RAMP_S) : charged - RAMP_S / 2;
  return (session.powerW * fullSeconds) / 3600;
}

function displayOf(plugged: boolean, charging: boolean, before: boolean): string {
  if (charging) return 'Charging';
  if (!plugged) return 'Welcome';
  return before ? 'Swipe your card' : 'Thank you';
}

function swipedBy(cycle: number): ChargePoint['card'] {
  const driver = Math.floor(chance(cycle, 3) * 40);
  return { cycle, number: (0x04a2f000 + driver * 0x1b7).toString(16).toUpperCase().padStart(8, '0') };
}

/** The same number between 0 and 1 for the same cycle (the finalizer of MurmurHash3). */
function chance(cycle: number, what: number): number {
  let hash = Math.imul(cycle, 0x9e3779b1) ^ Math.imul(what, 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}
