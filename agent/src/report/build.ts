import type { Began, EndReason, Trouble, Why } from '@paddock/shared/began.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import type { Exchange, Host, Reading, Report, Trigger } from '@paddock/shared/report.ts';
import type { UptimeMs, WallMs } from '@paddock/shared/time.ts';

/** Everything a report says, taken at one moment. */
export interface DeviceState {
  readonly device: string;
  readonly incarnation: string;
  readonly start: number;
  readonly sequence: number;
  readonly bootId: string;
  readonly uptime: UptimeMs;
  readonly segment: number;
  readonly wall: WallMs;
  readonly trigger: Trigger;
  readonly nextWithinMs: number;
  /** The nonce of the ask; null asks for no answer. */
  readonly ask: string | null;
  readonly readings: Readonly<Record<string, Reading>>;
  /** What the cloud may not know of yet; all of it of this boot and segment. */
  readonly exchanges: readonly Exchange[];
  readonly host: Host;
  readonly agentVersion: string;
  readonly outbox: NonNullable<Report['outbox']>;
  /** The digest of the inventory, when the cloud is to compare it. */
  readonly inventory?: string | null;
  /** What of desired state holds. */
  readonly desired?: Report['desired'] | null;
  /** What is run, and how its update does. */
  readonly firmware?: Report['firmware'] | null;
  /** What is driven. */
  readonly outputs?: Report['outputs'] | null;
  /** Why this start began, as long as the cloud may not know. */
  readonly began?: Began | null;
  readonly crashes?: readonly string[];
  readonly troubles?: readonly Trouble[];
}

/** The whole state as the wire wants it. What need not be said is left out: every byte is paid for. */
export function buildReport(state: DeviceState): Report {
  const { device, incarnation, start, sequence } = state;
  return {
    v: PAYLOAD_VERSION,
    device,
    incarnation,
    start,
    sequence,
    boot: { id: state.bootId, ...bootReason(state.began?.machine) },
    uptimeMs: state.uptime,
    ...(state.segment > 0 && { segment: state.segment }),
    wallMs: state.wall,
    trigger: plain(state.trigger),
    nextWithinMs: state.nextWithinMs,
    ...(state.ask !== null && { ask: state.ask }),
    readings: plain(state.readings),
    ...(state.exchanges.length > 0 && { exchanges: [...state.exchanges] }),
    host: state.host,
    agent: { version: state.agentVersion },
    outbox: state.outbox,
    ...(typeof state.inventory === 'string' && { inventory: state.inventory }),
    ...(state.desired && { desired: state.desired }),
    ...(state.firmware && { firmware: plain(state.firmware) }),
    ...(state.outputs && { outputs: plain(state.outputs) }),
    ...(state.began && { began: state.began }),
    ...(state.crashes && state.crashes.length > 0 && { crashes: [...state.crashes] }),
    ...(state.troubles && state.troubles.length > 0 && { troubles: [...state.troubles] }),
  };
}

/** BootReason of OCPP 2.0.1, as far as it has a word for it. */
const BOOT_REASONS: Readonly<Record<string, string>> = {
  power: 'PowerUp',
  watchdog: 'Watchdog',
  update: 'FirmwareUpdate',
  command: 'RemoteReset',
  clean: 'LocalReset',
} satisfies Partial<Record<EndReason, string>>;

const bootReason = (machine: Why | undefined): { readonly reason?: string } =>
  machine === undefined ? {} : { reason: BOOT_REASONS[machine.reason] ?? 'Unknown' };

/** Escapes as JSON.stringify writes them; the last alternative keeps an escaped backslash from beginning another. */
const ESCAPES = /\\(?:u0000|ud[89a-f][0-9a-f]{2}|[^])/g;

/**
 * A reader may hand over any bytes, the wire takes text that every database can hold: U+0000 and halves of
 * surrogate pairs become U+FFFD, in names as in values, because a report that is refused for them would be lost for good.
 */
export function plain<T>(value: T): T {
  const json = JSON.stringify(value);
  return JSON.parse(json.replace(ESCAPES, (escape) => (escape.length > 2 ? '\u{FFFD}' : escape))) as T;
}
