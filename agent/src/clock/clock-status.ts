import type { Exchange } from '@paddock/shared/report.ts';
import { uptimeMs, wallMs, type UptimeMs } from '@paddock/shared/time.ts';
import * as Type from 'typebox';
import { Check } from 'typebox/value';
import { roundTripMs } from './exchange.ts';
import type { Anchor, Bound } from './trusted-time.ts';

/** What a running agent knows of the time, for programs beside it. It holds in that boot and segment only. */
export const STATUS_FILE = 'clock-status.json';

export interface ClockStatus {
  readonly bootId: string;
  readonly anchor: Anchor;
  /** The last exchange: when its answer came, and how long both ways took. */
  readonly exchangedAt: UptimeMs;
  readonly roundTripMs: number;
}

const BoundSchema = Type.Object({ at: Type.Number(), wall: Type.Number() });
const StatusSchema = Type.Object({
  bootId: Type.String(),
  anchor: Type.Object({ segment: Type.Integer(), lower: BoundSchema, upper: BoundSchema }),
  exchangedAt: Type.Number(),
  roundTripMs: Type.Number(),
});

export const statusOf = (bootId: string, anchor: Anchor, last: Exchange): ClockStatus => ({
  bootId,
  anchor,
  exchangedAt: uptimeMs(last.responseUptimeMs),
  roundTripMs: Math.max(0, roundTripMs(last)),
});

export const formatStatus = (status: ClockStatus): Uint8Array =>
  new TextEncoder().encode(`${JSON.stringify(status)}\n`);

/** @returns null when there is none, or none that can be read: nothing depends on it */
export function parseStatus(bytes: Uint8Array | null): ClockStatus | null {
  const value = parseJson(new TextDecoder().decode(bytes ?? new Uint8Array()));
  if (!Check(StatusSchema, value)) return null;
  const { bootId, anchor } = value;
  const bound = ({ at, wall }: { at: number; wall: number }): Bound => ({ at: uptimeMs(at), wall: wallMs(wall) });
  return {
    bootId,
    anchor: { segment: anchor.segment, lower: bound(anchor.lower), upper: bound(anchor.upper) },
    exchangedAt: uptimeMs(value.exchangedAt),
    roundTripMs: value.roundTripMs,
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
