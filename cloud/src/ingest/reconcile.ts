import type { Report } from '@paddock/shared/report.ts';
import { fromInstant, wallMs, type TimeInterval } from '@paddock/shared/time.ts';
import { placeChange } from '../clock/changes.ts';
import { observe, type ClockRecord } from '../clock/clock.ts';
import type { ClosedEra } from '../clock/era.ts';
import type { ClockFault, Evidence } from '../clock/evidence.ts';
import { DeviceLife, type Moment } from '../clock/life.ts';
import type { ErrorAt } from '../ports.ts';
import type { AuthenticReport } from './authenticate.ts';
import type { Place } from './order.ts';

/** A report with its place in the device's order. */
export interface OrderedReport {
  readonly message: AuthenticReport;
  readonly place: Place;
}

/** And in time. */
export interface PlacedReport extends OrderedReport {
  readonly interval: TimeInterval;
  /** Changes of readings that it tells of. */
  readonly changes: readonly PlacedChange[];
}

export interface PlacedChange {
  readonly sensor: string;
  /** The sensor's count of changes since the start. */
  readonly changes: number;
  readonly uptimeMs: number;
  readonly value: boolean | number | string | null;
  readonly interval: TimeInterval;
}

/** A clock as the ledger knows it. */
export interface ClockEntry {
  readonly deviceId: string;
  readonly bootId: string;
  readonly segment: number;
  /** The first report that was heard of it. */
  readonly ordinal: number;
  readonly start: number;
  readonly record: ClockRecord;
  /** What was noticed and told of it. */
  readonly faults: readonly ClockFault[];
}

/** Something that is noticed of a clock for the first time. */
export interface ClockAlarm {
  readonly deviceId: string;
  readonly bootId: string;
  readonly code: ClockFault;
}

export const clockKey = (deviceId: string, bootId: string, segment: number): string =>
  `${deviceId} ${bootId} ${segment}`;
export const clockKeyOf = ({ deviceId, report }: AuthenticReport): string =>
  clockKey(deviceId, report.boot.id, report.segment ?? 0);

/** Bounds of a clock that history still needs and its row does not. */
export interface ClosedBounds {
  readonly clock: ClockEntry;
  readonly era: ClosedEra;
}

/** Third step of ingest: the clocks that a batch speaks of. First they learn all that it says, then they place it. */
export class BatchClocks {
  readonly #clocks: Map<string, ClockEntry>;
  readonly #news = new Set<string>();
  readonly #closed = new Map<string, ClosedEra[]>();
  readonly #lives = new Map<string, DeviceLife>();
  readonly #alarms: ClockAlarm[] = [];
  readonly #faults: ClockFault[] = [];
  readonly #errorAt: ErrorAt;

  constructor(known: ReadonlyMap<string, ClockEntry>, errorAt: ErrorAt) {
    this.#clocks = new Map(known);
    this.#errorAt = errorAt;
  }

  /**
   * Takes what a new report says of its clock into account. Reports of one clock come in the device's own order.
   * @returns whether the report's uptime can be believed
   */
  observe({ message, place }: OrderedReport): boolean {
    const key = clockKeyOf(message);
    const before = this.#clocks.get(key);
    const { clock, closed, faults, isNews } = observe(before?.record ?? null, evidenceOf(message, this.#errorAt));
    const noticed = tellsOfChangeBeforeBoot(message.report) ? [...faults, 'change_before_boot' as const] : faults;
    const entry = { ...(before ?? entryOf(message, place)), record: clock };
    const fresh = [...new Set(noticed)].filter((code) => !entry.faults.includes(code));
    this.#faults.push(...noticed);
    this.#alarms.push(...fresh.map((code) => ({ deviceId: entry.deviceId, bootId: entry.bootId, code })));
    if (isNews || fresh.length > 0) this.#news.add(key);
    if (closed.length > 0) this.#closed.set(key, [...(this.#closed.get(key) ?? []), ...closed]);
    this.#clocks.set(key, fresh.length > 0 ? { ...entry, faults: [...entry.faults, ...fresh] } : entry);
    return !faults.includes('clock_contradiction');
  }

  /** Places a report, and the changes that it tells of, by all that was observed. */
  place(ordered: OrderedReport): PlacedReport {
    return placed(ordered, this.#lifeOf(ordered.message), this.#errorAt(ordered.message.receivedAt));
  }

  /** Clocks that say more than before. */
  get news(): readonly ClockEntry[] {
    return [...this.#clocks].flatMap(([key, entry]) => (this.#news.has(key) ? [entry] : []));
  }

  get closed(): readonly ClosedBounds[] {
    return [...this.#closed].flatMap(([key, eras]) => {
      const clock = this.#clocks.get(key);
      return clock ? eras.map((era) => ({ clock, era })) : [];
    });
  }

  get alarms(): readonly ClockAlarm[] {
    return this.#alarms;
  }

  /** Everything that was noticed, known faults included. */
  get faults(): readonly ClockFault[] {
    return this.#faults;
  }

  /** Of this clock alone: what its neighbours say is worked out when somebody looks. */
  #lifeOf(message: AuthenticReport): DeviceLife {
    const key = clockKeyOf(message);
    const life = this.#lives.get(key) ?? new DeviceLife(livedOf(this.#clocks.get(key), this.#closed.get(key)));
    this.#lives.set(key, life);
    return life;
  }
}

const evidenceOf = ({ report, receivedAt }: AuthenticReport, errorAt: ErrorAt): Evidence => ({
  uptimeMs: report.uptimeMs,
  receivedAt,
  wallMs: report.wallMs === undefined ? null : wallMs(report.wallMs),
  exchanges: (report.exchanges ?? []).map((exchange) => ({
    requestUptimeMs: exchange.requestUptimeMs,
    cloudReceivedAt: fromInstant(exchange.receivedAt),
    cloudSentAt: fromInstant(exchange.sentAt),
    responseUptimeMs: exchange.responseUptimeMs,
    cloudErrorMs: errorAt(fromInstant(exchange.sentAt)),
  })),
  cloudErrorMs: errorAt(receivedAt),
});

const entryOf = ({ deviceId, report }: AuthenticReport, { ordinal, start }: Place): Omit<ClockEntry, 'record'> => ({
  deviceId,
  bootId: report.boot.id,
  segment: report.segment ?? 0,
  ordinal,
  start,
  faults: [],
});

const livedOf = (entry: ClockEntry | undefined, closed: readonly ClosedEra[] = []) =>
  entry === undefined ? [] : [{ bootId: entry.bootId, segment: entry.segment, record: entry.record, closed }];

function placed(ordered: OrderedReport, life: DeviceLife, cloudErrorMs: number): PlacedReport {
  const { report, receivedAt } = ordered.message;
  const { boot, segment = 0 } = report;
  const arrivedBy = wallMs(receivedAt + 1 + cloudErrorMs);
  const at = (uptimeMs: number): Moment => ({ bootId: boot.id, segment, uptimeMs, arrivedBy });
  const changes = changesOf(report).filter(({ uptimeMs }) => uptimeMs >= 0);
  return {
    ...ordered,
    interval: life.place(at(report.uptimeMs)),
    changes: changes.map((change) => ({ ...change, interval: placeChange(life, at(change.uptimeMs)) })),
  };
}

/** The last change of each binary and enum reading, where one was seen. */
function changesOf({ readings, uptimeMs }: Report): Omit<PlacedChange, 'interval'>[] {
  const told: Omit<PlacedChange, 'interval'>[] = [];
  for (const [sensor, { changes = 0, changedAgoMs, value }] of Object.entries(readings))
    if (changes > 0 && changedAgoMs !== undefined && changedAgoMs !== null)
      told.push({ sensor, changes, uptimeMs: uptimeMs - changedAgoMs, value });
  return told;
}

const tellsOfChangeBeforeBoot = (report: Report): boolean => changesOf(report).some(({ uptimeMs }) => uptimeMs < 0);
