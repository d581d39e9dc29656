import { wallMs, type Basis, type TimeInterval } from '@paddock/shared/time.ts';
import { placeChange } from './changes.ts';
import { observe, type ClockRecord } from './clock.ts';
import type { ClosedEra } from './era.ts';
import { STEP_MS, type ClockFault, type Evidence } from './evidence.ts';
import { DeviceLife, type Moment } from './life.ts';
import { ReplayedOrder } from './replay-order.ts';
import type { ReportLine, TraceLine, TraceProblem } from './replay-trace.ts';

/** What one line was worth: with a problem it says nothing of time, with faults it says less or other than it claims. */
export interface Taken {
  readonly problem: TraceProblem | null;
  readonly isRepeat: boolean;
  readonly faults: readonly (ClockFault | TraceProblem)[];
}

export interface PlacedChange {
  readonly name: string;
  readonly earliest: number | null;
  readonly latest: number;
  readonly estimate: number;
}

/** A report and its changes as they are placed by all that a trace says. Instants in ms since 1970. */
export interface PlacedLine {
  readonly deviceId: string;
  /** The boot's id. */
  readonly boot: string;
  readonly seq: number;
  readonly earliest: number | null;
  readonly latest: number;
  readonly estimate: number;
  readonly basis: Basis;
  readonly changes: readonly PlacedChange[];
}

interface ReplayedBoot {
  readonly id: string;
  readonly count: number;
  readonly order: ReplayedOrder;
  readonly closed: ClosedEra[];
  record: ClockRecord | null;
}

interface ReplayedDevice {
  readonly boots: Map<string, ReplayedBoot>;
  readonly counts: Map<number, string>;
  life: DeviceLife | null;
}

const NOTHING_WRONG: Taken = { problem: null, isRepeat: false, faults: [] };

/**
 * Reconciles a trace as ingest reconciles what arrives, without a database: first every line is taken, in order of
 * arrival; then reports are placed by all that is known in the end.
 */
export class Replay {
  readonly #devices = new Map<string, ReplayedDevice>();
  readonly #cloudErrorMs: number;

  /** @param cloudErrorMs how wrong the cloud's clock can be where a line does not say so, in ms */
  constructor(cloudErrorMs: number) {
    this.#cloudErrorMs = cloudErrorMs;
  }

  get deviceCount(): number {
    return this.#devices.size;
  }

  get bootCount(): number {
    return [...this.#devices.values()].reduce((sum, { boots }) => sum + boots.size, 0);
  }

  take(line: TraceLine): Taken {
    const device = this.#deviceOf(line.deviceId);
    const boot = bootOf(device, line.boot);
    if (boot === null) return { ...NOTHING_WRONG, problem: 'boot_conflict' };
    const verdict = line.kind === 'report' ? boot.order.judge(line.seq, line.uptimeMs) : null;
    // A repeat arrived later than it might have: it proves nothing that the first did not.
    if (verdict === 'repeat') return { ...NOTHING_WRONG, isRepeat: true };
    if (verdict !== null) return { ...NOTHING_WRONG, problem: verdict };
    const { clock, faults, closed } = observe(boot.record, evidenceOf(line, this.#errorOf(line)));
    boot.record = clock;
    boot.closed.push(...closed);
    device.life = null;
    if (line.kind === 'report') boot.order.record(line.seq, line.uptimeMs, !faults.includes('clock_contradiction'));
    return { problem: null, isRepeat: false, faults: [...faults, ...changeFaults(line)] };
  }

  /** Places a report that was taken. One with a problem is placed by its arrival alone. */
  place(line: ReportLine, { problem }: Pick<Taken, 'problem'>): PlacedLine {
    const arrivedBy = wallMs(line.receivedAt + STEP_MS + this.#errorOf(line));
    const byArrival: TimeInterval = { earliest: null, latest: arrivedBy, estimate: arrivedBy, basis: 'arrival' };
    const moment: Moment = { bootId: line.boot.id, segment: 0, uptimeMs: line.uptimeMs, arrivedBy };
    const life = problem === null ? this.#lifeOf(line.deviceId) : null;
    const { basis, ...interval } = life === null ? byArrival : life.place(moment);
    return {
      deviceId: line.deviceId,
      boot: line.boot.id,
      seq: line.seq,
      ...outward(interval),
      basis,
      changes: soundChanges(line).map(({ name, agoMs }) => ({
        name,
        ...outward(life === null ? byArrival : placeChange(life, { ...moment, uptimeMs: line.uptimeMs - agoMs })),
      })),
    };
  }

  #lifeOf(deviceId: string): DeviceLife {
    const device = this.#deviceOf(deviceId);
    return (device.life ??= lifeOf(device));
  }

  #errorOf({ cloudErrorMs }: TraceLine): number {
    return cloudErrorMs ?? this.#cloudErrorMs;
  }

  #deviceOf(deviceId: string): ReplayedDevice {
    const known = this.#devices.get(deviceId);
    if (known) return known;
    const device = { boots: new Map(), counts: new Map(), life: null };
    this.#devices.set(deviceId, device);
    return device;
  }
}

/** @returns null when the boot has another count than before, or another boot has that count */
function bootOf({ boots, counts }: ReplayedDevice, { id, count }: TraceLine['boot']): ReplayedBoot | null {
  const known = boots.get(id);
  if (known) return known.count === count ? known : null;
  if (counts.has(count)) return null;
  const boot = { id, count, order: new ReplayedOrder(), closed: [], record: null };
  boots.set(id, boot);
  counts.set(count, id);
  return boot;
}

function lifeOf({ boots }: ReplayedDevice): DeviceLife {
  const inOrder = [...boots.values()].toSorted((a, b) => a.count - b.count);
  return new DeviceLife(
    inOrder.flatMap(({ id, record, closed }) => (record ? [{ bootId: id, segment: 0, record, closed }] : [])),
  );
}

function evidenceOf(line: TraceLine, cloudErrorMs: number): Evidence {
  const { receivedAt } = line;
  if (line.kind === 'time-request')
    return { uptimeMs: line.requestUptimeMs, receivedAt, wallMs: null, exchanges: [], cloudErrorMs };
  const { uptimeMs, wallMs: claimed = null, exchanges = [] } = line;
  const stamped = exchanges.map((exchange) => ({ ...exchange, cloudErrorMs }));
  return { uptimeMs, receivedAt, wallMs: claimed, exchanges: stamped, cloudErrorMs };
}

const isSound = (line: ReportLine, agoMs: number): boolean => agoMs >= 0 && agoMs <= line.uptimeMs;
const soundChanges = (line: ReportLine) => (line.changes ?? []).filter(({ agoMs }) => isSound(line, agoMs));

function changeFaults(line: TraceLine): (ClockFault | TraceProblem)[] {
  if (line.kind === 'time-request') return [];
  return (line.changes ?? [])
    .filter(({ agoMs }) => !isSound(line, agoMs))
    .map(({ agoMs }) => (agoMs < 0 ? 'change_negative' : 'change_before_boot'));
}

/** Three decimals, outward: rounding must not lose the truth. */
const outward = ({ earliest, latest, estimate }: Omit<TimeInterval, 'basis'>): Omit<PlacedChange, 'name'> => ({
  earliest: earliest === null ? null : Math.floor(earliest * 1000) / 1000,
  latest: Math.ceil(latest * 1000) / 1000,
  estimate: Math.round(estimate * 1000) / 1000,
});
