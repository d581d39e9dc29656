import type { QualityReason } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { RawValue } from '../ports.ts';
import { convert } from './conversion.ts';
import type { BinaryConfig, EnumConfig, SensorConfig } from './settings.ts';

/** Everything a sensor remembers. A new state is made for every input; nothing here is ever changed. */
export interface SensorState {
  /** The last value that counted; null before the first. It outlives faults, so that a change across one is seen. */
  readonly value: RawValue | null;
  /** When the last sample that could be believed was taken. */
  readonly sampledAt: UptimeMs | null;
  /** What is wrong since then; only a good sample ends it. */
  readonly fault: QualityReason | null;
  /** Since when samples have said this value without a gap. */
  readonly heldSince: UptimeMs | null;
  /** Binary and enum: another value that has not stood for the debounce time yet. */
  readonly candidate: { readonly value: RawValue; readonly since: UptimeMs } | null;
  readonly changes: number;
  readonly changedAt: UptimeMs | null;
  /** When raw values differed from the one before: at most one more than chatter takes. */
  readonly edges: readonly UptimeMs[];
  /** Numbers: when the value last moved. */
  readonly movedAt: UptimeMs | null;
  /** How often its line went to and fro unseen, and when it did last. */
  readonly gaps: number;
  readonly gapAt: UptimeMs | null;
}

export type SensorInput =
  | { readonly kind: 'sample'; readonly value: RawValue; readonly at: UptimeMs }
  | { readonly kind: 'fault'; readonly reason: QualityReason; readonly at: UptimeMs }
  | { readonly kind: 'gap'; readonly at: UptimeMs }
  /** The machine slept for an unknown time that its clock did not count; `at` is the last moment known to lie before. */
  | { readonly kind: 'suspended'; readonly at: UptimeMs };

export const UNSEEN: SensorState = {
  value: null,
  sampledAt: null,
  fault: null,
  heldSince: null,
  candidate: null,
  changes: 0,
  changedAt: null,
  edges: [],
  movedAt: null,
  gaps: 0,
  gapAt: null,
};

type DiscreteConfig = BinaryConfig | EnumConfig;
export const isDiscrete = (config: SensorConfig): config is DiscreteConfig =>
  config.kind === 'binary' || config.kind === 'enum';

/** What the sensor's state is after this input. Inputs come in the order of their times. */
export function observe(config: SensorConfig, before: SensorState, input: SensorInput): SensorState {
  const at = later(input.at, before.sampledAt);
  const state = settle(config, before, at);
  if (input.kind === 'suspended') return withoutTimes(state);
  if (input.kind === 'fault') return { ...state, fault: input.reason };
  if (input.kind === 'gap') return { ...state, gaps: state.gaps + 1, gapAt: at };
  const converted = convert(config, input.value);
  if ('fault' in converted) return { ...state, fault: converted.fault };
  const sampled = { ...withSample(config, state, converted.value, at), fault: null, sampledAt: at };
  return settle(config, sampled, at);
}

/**
 * Lets a change count whose new value has stood for the debounce time: it happened at the first
 * sample of that value. Nothing settles while a fault stands, since nobody knows what the value is.
 */
export function settle(config: SensorConfig, state: SensorState, now: UptimeMs): SensorState {
  const due = settlesAt(config, state);
  if (due === null || state.candidate === null || now < due) return state;
  const { value, since } = state.candidate;
  return { ...state, value, heldSince: since, candidate: null, changes: state.changes + 1, changedAt: since };
}

/** When the pending change will count if nothing contradicts it; null when none is pending. */
export function settlesAt(config: SensorConfig, state: SensorState): UptimeMs | null {
  if (state.candidate === null || state.fault !== null || !isDiscrete(config)) return null;
  return (state.candidate.since + config.debounceMs) as UptimeMs;
}

/**
 * No span across a suspend is known, so every time is forgotten. The value and the counts stay: a change that happened
 * meanwhile is seen, and counted, at the next sample.
 */
const withoutTimes = (state: SensorState): SensorState => ({
  ...UNSEEN,
  value: state.value,
  changes: state.changes,
  gaps: state.gaps,
  fault: state.fault ?? (state.sampledAt === null ? null : 'stale'),
});

function withSample(config: SensorConfig, state: SensorState, value: RawValue, at: UptimeMs): SensorState {
  const moved = value !== state.value;
  if (!isDiscrete(config)) return { ...state, value, movedAt: moved ? at : (state.movedAt ?? at) };
  const edges = value === rawValue(state) ? state.edges : withEdge(config, state, at);
  if (state.value === null) return { ...state, value, heldSince: at };
  if (moved) {
    const candidate = state.candidate?.value === value ? state.candidate : { value, since: at };
    return { ...state, edges, candidate };
  }
  return { ...state, edges, candidate: null, heldSince: isGap(config, state, at) ? at : state.heldSince };
}

const rawValue = (state: SensorState): RawValue | null => state.candidate?.value ?? state.value;

const withEdge = ({ chatter }: DiscreteConfig, { edges }: SensorState, at: UptimeMs): UptimeMs[] =>
  [...edges, at].slice(-chatter.changes - 1);

/** Nobody knows what the value was during a fault or after the last sample had grown stale. */
const isGap = (config: SensorConfig, state: SensorState, at: UptimeMs): boolean =>
  state.fault !== null || state.sampledAt === null || at - state.sampledAt > config.maxAgeMs;

const later = (at: UptimeMs, than: UptimeMs | null): UptimeMs => (than !== null && than > at ? than : at);
