import type { Answer } from '@paddock/shared/answer.ts';
import type { Presence } from '@paddock/shared/presence.ts';
import type { Reading, Report } from '@paddock/shared/report.ts';

/** Payloads as they stand on the wire; every field that a message may have is in one of them. */

/** The least that a report must say. */
export const minimalReport: Report = {
  v: 1,
  device: 'locker-7',
  incarnation: 'q1b2Yz0x9Wk',
  start: 1,
  sequence: 0,
  boot: { id: '5b1f3c7e-9d24-4a86-b0c1-2e8f7a6d5c43' },
  uptimeMs: 81_230,
  trigger: { kind: 'boot' },
  nextWithinMs: 360_000,
  readings: {},
};

const held = { changes: 0, changedAgoMs: null, heldForMs: 4_210_339 };
const contact = (value: boolean): Reading => ({ value, ageMs: 412, ...held });
const measured = (value: number, unit: string): Reading => ({ value, unit, ageMs: 733 });

/** A charge point with twenty sensors on a quiet day. */
export const typicalReport: Report = {
  v: 1,
  device: 'kiosk-0417',
  incarnation: 'Zp3vK8s0LqE',
  start: 12,
  sequence: 845,
  boot: { id: 'c9a646d3-9c61-4cb7-bfcd-ee2522c8f633' },
  uptimeMs: 4_214_507,
  wallMs: 1_795_464_003_118,
  trigger: { kind: 'schedule' },
  nextWithinMs: 320_000,
  readings: {
    door: contact(false),
    lid: contact(false),
    lock: contact(true),
    tamper: contact(false),
    cable: { value: true, ageMs: 412, changes: 3, changedAgoMs: 62_118 },
    contactor: { value: true, ageMs: 412, changes: 3, changedAgoMs: 59_902 },
    light: contact(true),
    heater: contact(false),
    fan: contact(false),
    'emergency-stop': contact(false),
    connector: { value: 'occupied', ageMs: 412, changes: 3, changedAgoMs: 62_118 },
    screen: { value: 'idle', ageMs: 412, ...held },
    'voltage-l1': measured(230.4, 'V'),
    'voltage-l2': measured(229.8, 'V'),
    'current-l1': measured(15.7, 'A'),
    'current-l2': measured(15.9, 'A'),
    power: measured(7.27, 'kW'),
    energy: measured(1841.6, 'kWh'),
    frequency: measured(50.01, 'Hz'),
    temperature: measured(31.5, '°C'),
  },
  host: {
    processorShare: 0.04,
    load1: 0.12,
    memoryTotalMiB: 1872,
    memoryAvailableMiB: 1377,
    diskTotalMiB: 14_811,
    diskFreeMiB: 9120,
    temperatureC: 48.2,
    agentRssMiB: 71,
  },
  agent: { version: '0.1.0' },
  outbox: { waiting: 1, droppedRoutine: 0, droppedEvents: 0 },
};

/** A swiped card at a kiosk with troubles: all that a report can say. */
export const fullReport: Report = {
  ...typicalReport,
  sequence: 846,
  boot: { id: 'c9a646d3-9c61-4cb7-bfcd-ee2522c8f633', reason: 'PowerUp' },
  uptimeMs: 4_233_012,
  segment: 1,
  trigger: {
    kind: 'event',
    name: 'card-swipe',
    agoMs: 18,
    data: { card: '04A2F7C1', reader: 2, tags: ['staff', 'München'] },
  },
  ask: 'tY7nQe2RkM4',
  readings: {
    door: { value: null, ageMs: null, quality: 'bad', reason: 'no-sample' },
    lock: { value: null, ageMs: 91_044, quality: 'bad', reason: 'unplugged', changes: 7, changedAgoMs: 1_200_345 },
    'paper.level': { value: 0.42, unit: '%', ageMs: 3100, quality: 'suspect', reason: 'flatline' },
    serial: { value: 'CP-22/β', ageMs: 0, quality: 'good' },
  },
  exchanges: [
    {
      requestUptimeMs: 4_214_507,
      receivedAt: '2026-11-23T20:00:03.250Z',
      sentAt: '2026-11-23T20:00:03.262Z',
      responseUptimeMs: 4_214_598,
    },
  ],
  inventory: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg',
  desired: { epoch: 2, version: 17 },
};

export const sampleAnswer: Answer = {
  v: 1,
  device: 'kiosk-0417',
  incarnation: 'Zp3vK8s0LqE',
  start: 12,
  digest: 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ',
  nonce: 'tY7nQe2RkM4',
  recorded: [
    [0, 831],
    [840, 846],
  ],
  rejected: [{ sequence: 832, digest: 'n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg', code: 'uptime_backwards' }],
  receivedAt: '2026-11-23T20:00:03.250Z',
  sentAt: '2026-11-23T20:00:03.262Z',
  expiresAt: '2026-11-23T20:05:03.262Z',
  desired: { epoch: 2, version: 17 },
  resendPerSecond: 20,
  wants: ['inventory'],
};

export const samplePresence: Presence = { v: 1, device: 'kiosk-0417', connection: 'b8Jw0aVx2Nc', status: 'online' };
