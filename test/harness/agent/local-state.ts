import type { LocalState } from '@paddock/agent/local/state.ts';
import { uptimeMs } from '@paddock/shared/time.ts';

/** The state of a kiosk with a door, on which nothing goes on. */
export const localState = (change: Partial<LocalState> = {}): LocalState => ({
  device: 'kiosk-0001',
  agent: { version: '0.1.0' },
  uptimeMs: uptimeMs(1_000),
  connection: { online: true },
  readings: { door: { value: false, ageMs: 10 }, power: { value: 7.2, unit: 'kW', ageMs: 500 } },
  desired: { epoch: 0, version: 1, state: { tariff: { ageMs: 1 } } },
  firmware: null,
  lock: null,
  applications: { screen: { status: 'good', ageMs: 20 } },
  outbox: { waiting: 0, droppedRoutine: 0, droppedEvents: 0 },
  ...change,
});
