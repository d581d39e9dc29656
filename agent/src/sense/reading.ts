import type { Quality, QualityReason, Reading } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { RawValue } from '../ports.ts';
import { isDiscrete, settle, type SensorState } from './sensor.ts';
import type { SensorConfig } from './settings.ts';

interface Flaw {
  readonly quality: Exclude<Quality, 'good'>;
  readonly reason: QualityReason;
}

/** What a sensor says at this moment. A `bad` reading has no value, so that an old one never looks fresh. */
export function readingOf(config: SensorConfig, before: SensorState, now: UptimeMs): Reading {
  const state = settle(config, before, now);
  const flaw = flawOf(config, state, now);
  const isBad = flaw?.quality === 'bad';
  return {
    value: isBad ? null : told(config, state.value),
    ...(config.kind === 'number' && config.unit !== undefined && { unit: config.unit }),
    ageMs: since(state.sampledAt, now),
    ...flaw,
    ...(isDiscrete(config) && changesOf(state, now, isBad)),
    ...(state.gaps > 0 && { gaps: state.gaps }),
  };
}

/** Rounded only here: whether a value moves is judged by all of its digits. */
function told(config: SensorConfig, value: RawValue | null): RawValue | null {
  if (config.kind !== 'number' || config.decimals === undefined || typeof value !== 'number') return value;
  // Never "-0", and past 1e21 there is nothing to round and toFixed would write an exponent.
  return Number(value.toFixed(config.decimals)) || 0;
}

/** The first that applies: what is known to be wrong, then what is only suspected. */
function flawOf(config: SensorConfig, state: SensorState, now: UptimeMs): Flaw | null {
  if (state.fault !== null) return { quality: 'bad', reason: state.fault };
  if (state.sampledAt === null) return { quality: 'bad', reason: 'no-sample' };
  if (now - state.sampledAt > config.maxAgeMs) return { quality: 'bad', reason: 'stale' };
  if (state.gapAt !== null && now - state.gapAt <= config.maxAgeMs) return { quality: 'suspect', reason: 'edges-lost' };
  if (isChattering(config, state, now)) return { quality: 'suspect', reason: 'chatter' };
  if (isFlat(config, state)) return { quality: 'suspect', reason: 'flatline' };
  return null;
}

function isChattering(config: SensorConfig, { edges }: SensorState, now: UptimeMs): boolean {
  if (!isDiscrete(config)) return false;
  const { changes, windowMs } = config.chatter;
  return edges.filter((at) => now - at < windowMs).length > changes;
}

/** Judged by samples, not by the time since: between two samples nobody knows. */
function isFlat(config: SensorConfig, { sampledAt, movedAt }: SensorState): boolean {
  if (config.kind !== 'number' || config.flatlineAfterMs === undefined) return false;
  return sampledAt !== null && movedAt !== null && sampledAt - movedAt >= config.flatlineAfterMs;
}

/** The last change stays true while the sensor is bad; for how long the value has held does not. */
function changesOf(state: SensorState, now: UptimeMs, isBad: boolean): Partial<Reading> {
  const changedAgoMs = since(state.changedAt, now);
  const held = changedAgoMs === null && !isBad ? since(state.heldSince, now) : null;
  return { changes: state.changes, changedAgoMs, ...(held !== null && { heldForMs: held }) };
}

const since = (then: UptimeMs | null, now: UptimeMs): number | null =>
  then === null ? null : Math.max(0, Math.floor(now - then));
