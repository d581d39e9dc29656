import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { seal } from '@paddock/shared/envelope.ts';
import type { Reading, Report } from '@paddock/shared/report.ts';
import { typicalReport } from '../harness/samples.ts';
import { makeTestKey, type TestKey } from '../harness/signing.ts';

export interface LoadDevice {
  readonly deviceId: string;
  readonly key: TestKey;
}

/** One routine report in six asks for an answer. */
const ASK_EVERY = 6;
/** The device reports every five minutes; all of it arrives at once, as after an outage. */
const PERIOD_MS = 300_000;
const FIRST_UPTIME_MS = 100_000;
/** Contacts that have changed before change again after so many reports. */
const CHANGE_EVERY = 40;

export async function makeDevices(count: number): Promise<LoadDevice[]> {
  const ids = Array.from({ length: count }, (_, n) => `bench-${String(n).padStart(4, '0')}`);
  return Promise.all(ids.map(async (deviceId) => ({ deviceId, key: await makeTestKey() })));
}

/** Signs what a device with 20 sensors reports at 5 minutes' distance: values move, contacts change now and then. */
export async function signReports({ deviceId, key }: LoadDevice, count: number, start: number): Promise<string[]> {
  const bootedAt = Date.now() - FIRST_UPTIME_MS - count * PERIOD_MS;
  const reports = Array.from({ length: count }, (_, sequence) => {
    const uptimeMs = FIRST_UPTIME_MS + sequence * PERIOD_MS;
    const readings = Object.entries(typicalReport.readings).map(
      ([name, reading], n) => [name, readingAt(reading, sequence, n)] as const,
    );
    const report: Report = {
      ...typicalReport,
      device: deviceId,
      start,
      sequence,
      boot: { id: `${deviceId}-boot-${start}` },
      uptimeMs,
      wallMs: bootedAt + uptimeMs,
      readings: Object.fromEntries(readings),
      ...(sequence % ASK_EVERY === 0 && { ask: Buffer.from(`${sequence}`.padStart(8)).toString('base64url') }),
    };
    return seal('report', report, key.signing, deflater);
  });
  return Promise.all(reports);
}

function readingAt(reading: Reading, sequence: number, n: number): Reading {
  if (typeof reading.value === 'number')
    return { ...reading, value: Math.round(reading.value * (100 + ((sequence * 7 + n) % 13))) / 100 };
  const sinceMs = (sequence % CHANGE_EVERY) * PERIOD_MS;
  if (reading.changes === undefined || reading.changes === 0)
    return { ...reading, heldForMs: FIRST_UPTIME_MS + sequence * PERIOD_MS };
  return {
    ...reading,
    changes: reading.changes + Math.floor(sequence / CHANGE_EVERY),
    changedAgoMs: (reading.changedAgoMs ?? 0) + sinceMs,
  };
}
