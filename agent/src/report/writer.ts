import { digestOf, parseEnvelope, seal, type Deflate } from '@paddock/shared/envelope.ts';
import { randomBase64url } from '@paddock/shared/base64url.ts';
import type { Exchange, Reading, Report, Trigger } from '@paddock/shared/report.ts';
import type { UptimeMs } from '@paddock/shared/time.ts';
import type { Moment } from '../clock/exchange.ts';
import type { Clock, Machine, Signer } from '../ports.ts';
import { buildReport, type DeviceState } from './build.ts';
import { createHealthReader } from './health.ts';
import type { SealedReport } from './sealed.ts';

/** What stays the same for every report of a start. */
export interface Origin {
  readonly device: string;
  readonly incarnation: string;
  readonly start: number;
  readonly bootId: string;
  readonly agentVersion: string;
}

export interface WriterParts {
  readonly clock: Clock;
  readonly machine: Pick<Machine, 'health'>;
  readonly signer: Signer;
  readonly deflater: Deflate;
  readonly readings: (at: UptimeMs) => Readonly<Record<string, Reading>>;
  readonly outbox: () => NonNullable<Report['outbox']>;
  /** The digest of the inventory; null while it is not known. */
  readonly inventory: () => string | null;
  /** What of desired state holds; null when nothing was taken up. */
  readonly desired: () => Report['desired'] | null;
  /** As it is announced now. */
  readonly nextWithinMs: () => number;
  /** What is run, and how its update does; null where nothing is installed. */
  readonly firmware: () => Report['firmware'] | null;
  /** What is driven; null where nothing is. */
  readonly outputs: () => Report['outputs'] | null;
  /** What is told of the start before, and of the machine. @param asks the report asks for an answer */
  readonly past: (asks: boolean) => Pick<DeviceState, 'began' | 'crashes' | 'troubles'>;
  /** What a report of this segment tells of exchanges, and what hears that it was made. */
  readonly time: {
    toTell(segment: number, asks: boolean): readonly Exchange[];
    told(exchanges: readonly Exchange[], sequence: number): void;
  };
}

export interface Written extends SealedReport {
  readonly uptime: UptimeMs;
}

/**
 * Takes the state, numbers and seals it. Called one after the other, so that the order of sequences is the order
 * in which states were taken.
 * @throws Refusal `envelope_too_large` when the state does not fit one message
 */
export function createWriter(
  origin: Origin,
  parts: WriterParts,
): (trigger: Trigger, asks: boolean, happened?: Moment) => Promise<Written> {
  const { clock, machine, signer, deflater, time } = parts;
  const health = createHealthReader(machine, clock);
  let next = 0;
  return async (trigger, asks, happened) => {
    const host = await health();
    // Used up by a report that was made, and by no other: a gap would look like one that the network lost.
    const sequence = next;
    const ask = asks ? randomBase64url() : null;
    const uptime = clock.monotonic();
    const segment = clock.segment();
    const exchanges = time.toTell(segment, asks);
    const taken = { uptime, segment, wall: clock.wall(), readings: parts.readings(uptime), exchanges };
    // Where it is answered: nowhere else could the cloud say that it does not know it.
    const inventory = asks ? parts.inventory() : null;
    const told = {
      trigger: withAge(trigger, happened, { at: uptime, segment }),
      ask,
      host,
      outbox: parts.outbox(),
      inventory,
      desired: parts.desired(),
      nextWithinMs: parts.nextWithinMs(),
      firmware: parts.firmware(),
      outputs: parts.outputs(),
      ...parts.past(asks),
    };
    const envelope = await seal('report', buildReport({ ...origin, ...taken, ...told, sequence }), signer, deflater);
    next += 1;
    time.told(exchanges, sequence);
    const { incarnation, start } = origin;
    const event = trigger.kind === 'event';
    return {
      incarnation,
      start,
      sequence,
      digest: await digestOf(parseEnvelope(envelope)),
      envelope,
      nonce: ask,
      event,
      ...(trigger.kind === 'event' && trigger.id !== undefined && { eventId: trigger.id }),
      uptime,
    };
  };
}

/** An event that had to wait says for how long; across a suspend nobody knows. */
function withAge(trigger: Trigger, happened: Moment | undefined, now: Moment): Trigger {
  if (trigger.kind !== 'event' || happened?.segment !== now.segment) return trigger;
  const agoMs = now.at - happened.at;
  return agoMs > 0 ? { ...trigger, agoMs } : trigger;
}
