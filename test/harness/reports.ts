import type { AuthenticReport } from '@paddock/cloud/ingest/authenticate.ts';
import { PAYLOAD_VERSION } from '@paddock/shared/message.ts';
import type { Report } from '@paddock/shared/report.ts';
import { wallMs } from '@paddock/shared/time.ts';

export const INCARNATION = 'AAAAAAAAAAA';
export const BOOT_ID = '3f0c1c2e-7d62-4f0e-9f7b-2f6a0c1d9e11';

/** A small report that fits the schema. */
export const reportOf = (fields: Partial<Report> = {}): Report => ({
  v: PAYLOAD_VERSION,
  device: 'kiosk-0001',
  incarnation: INCARNATION,
  start: 1,
  sequence: 0,
  boot: { id: BOOT_ID },
  uptimeMs: 60_000,
  trigger: { kind: 'schedule' },
  nextWithinMs: 360_000,
  readings: { door: { value: true, ageMs: 20, changes: 1, changedAgoMs: 1500 } },
  ...fields,
});

/** A report as it leaves authentication; its digest says what it holds, unless it is given. */
export function authentic(fields: Partial<Report> = {}, more: Partial<AuthenticReport> = {}): AuthenticReport {
  const report = reportOf(fields);
  const { device, start, sequence } = report;
  return {
    deviceId: device,
    report,
    envelope: 'a.b.c',
    digest: `${device}-${start}-${sequence}`.padEnd(43, '0').slice(0, 43),
    payloadBytes: 500,
    receivedAt: wallMs(1_800_000_000_000 + report.uptimeMs),
    ...more,
  };
}
