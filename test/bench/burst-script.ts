import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal, type Signing } from '@paddock/shared/envelope.ts';
import type { Trigger } from '@paddock/shared/report.ts';
import { typicalReport } from '../harness/samples.ts';

/** What a device of the burst has to say, sealed before. Its place in the array is its sequence. */
export interface Script {
  readonly deviceId: string;
  readonly envelopes: readonly string[];
  /** So many of them waited while there was no connection; the next one opens it, the one after ends the batch. */
  readonly backlog: number;
}

/** Reports every minute while there was no connection, the first of them an hour after the boot. */
const FIRST_UPTIME_MS = 3_600_000;
const SPACING_MS = 60_000;

/** A device has one nonce a sequence: the answer repeats it. */
export const nonceOf = (sequence: number): string => Buffer.from(`burst ${sequence}`.padEnd(12)).toString('base64url');

/** @param lives events that it may tell besides */
export async function writeScript(
  deviceId: string,
  signing: Signing,
  { backlog, lives }: { readonly backlog: number; readonly lives: number },
): Promise<Script> {
  const reports = Array.from({ length: backlog + 2 + lives }, (_, sequence) => ({
    ...typicalReport,
    device: deviceId,
    start: 1,
    sequence,
    boot: { id: `${deviceId}-boot` },
    uptimeMs: FIRST_UPTIME_MS + Math.min(sequence, backlog) * SPACING_MS + sequence,
    trigger: triggerOf(sequence, backlog),
    outbox: {
      waiting: sequence > backlog + 1 ? 3 : Math.min(sequence, backlog) + 1,
      droppedRoutine: 0,
      droppedEvents: 0,
    },
    ...(sequence >= backlog && { ask: nonceOf(sequence) }),
  }));
  const envelopes = await Promise.all(reports.map((report) => seal('report', report, signing, deflater)));
  return { deviceId, backlog, envelopes };
}

function triggerOf(sequence: number, backlog: number): Trigger {
  if (sequence < backlog) return { kind: 'schedule' };
  return sequence < backlog + 2 ? { kind: 'connect' } : { kind: 'event', name: 'card-swipe' };
}
