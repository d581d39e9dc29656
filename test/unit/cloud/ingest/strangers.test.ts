import { expect, it } from 'vitest';
import { Strangers } from '@paddock/cloud/ingest/strangers.ts';
import type { BrokerClient } from '@paddock/cloud/ports.ts';
import { CloudClock } from '../../../harness/cloud-clock.ts';
import { CountedMetrics } from '../../../harness/ingest.ts';

const client = (clientId: string): BrokerClient => ({ clientId, deviceId: null, address: null });

it('counts every stranger, and tells of few, with short names', () => {
  const clock = new CloudClock(1_800_000_000_000);
  const metrics = new CountedMetrics();
  const lines: object[] = [];
  const ignore = (): void => undefined;
  const log = { debug: ignore, info: ignore, error: ignore, warn: (fields: object) => void lines.push(fields) };
  const strangers = new Strangers({ clock, metrics, log });
  for (let n = 0; n < 1000; n++) strangers.foreign(client('x'.repeat(60_000)), 'y'.repeat(60_000));
  strangers.oversized(client('kiosk-0001'));
  expect(metrics.of('paddock_reports_rejected_total', 'topic_foreign')).toBe(1000);
  expect(metrics.of('paddock_reports_rejected_total', 'envelope_too_large')).toBe(1);
  expect(lines).toEqual([{ code: 'topic_foreign', clientId: 'x'.repeat(64), topic: 'y'.repeat(64), untoldBefore: 0 }]);
  clock.advance(10_000);
  strangers.oversized(client('kiosk-0001'));
  expect(lines.at(-1)).toEqual({ code: 'envelope_too_large', clientId: 'kiosk-0001', untoldBefore: 1000 });
});
