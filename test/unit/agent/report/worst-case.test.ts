import { randomBytes, randomInt } from 'node:crypto';
import { deflater } from '@paddock/agent/adapters/deflate.ts';
import { ConfigError } from '@paddock/agent/config.ts';
import { buildReport } from '@paddock/agent/report/build.ts';
import { boundedData, MAX_EVENT_DATA_BYTES } from '@paddock/agent/report/event-data.ts';
import { createSensors } from '@paddock/agent/sense/sensors.ts';
import { MAX_ENVELOPE_BYTES, seal } from '@paddock/shared/envelope.ts';
import {
  MAX_EXCHANGES,
  parseReport,
  type Exchange,
  type Host,
  type Report,
  type Trigger,
} from '@paddock/shared/report.ts';
import { toInstant, uptimeMs, wallMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { configOf, FakePort } from '../../../harness/agent/sense.ts';
import { makeTestKey } from '../../../harness/signing.ts';

/** Random text of so many bytes, of as many different characters as there are of one byte. */
const noise = (bytes: number): string => {
  const letters = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).filter(
    (one) => !'"\\'.includes(one),
  );
  return Array.from({ length: bytes }, () => letters[randomInt(letters.length)]).join('');
};
/** The same of characters that take three bytes. */
const wideNoise = (bytes: number): string =>
  Array.from({ length: Math.floor(bytes / 3) }, () => String.fromCharCode(randomInt(0x0800, 0xd800))).join('');

const NAME_CHARS = 64;
const nameOf = (): string => randomBytes(NAME_CHARS / 2).toString('hex');
const HEAD = 'ports: { panel: { kind: serial-lines, path: /dev/a, format: json } }\nsensors:\n';
const sensorsYaml = (count: number, settings: string): string =>
  HEAD +
  Array.from({ length: count }, () => `  ${nameOf()}: { ${settings}, source: { port: panel, field: x } }\n`).join('');

const fits = (yaml: string): boolean => {
  try {
    return Boolean(configOf(yaml));
  } catch (error) {
    if (error instanceof ConfigError) return false;
    throw error;
  }
};
/** The most sensors of this kind that a configuration may have. */
function most(settings: string): number {
  let [fitting, tooMany] = [1, 257];
  while (tooMany - fitting > 1) {
    const count = Math.floor((fitting + tooMany) / 2);
    if (fits(sensorsYaml(count, settings))) fitting = count;
    else tooMany = count;
  }
  return fitting;
}

const HOST: Host = {
  processorShare: 0.123456789012345,
  load1: 1234.56789012345,
  memoryTotalMiB: 999_999_999,
  memoryAvailableMiB: 999_999_999,
  diskTotalMiB: 999_999_999,
  diskFreeMiB: 999_999_999,
  temperatureC: 45.123456789,
  agentRssMiB: 999_999_999,
};

const instant = (): string => toInstant(wallMs(randomInt(2 ** 42)));
const exchange = (): Exchange => ({
  requestUptimeMs: randomInt(2 ** 42),
  receivedAt: instant(),
  sentAt: instant(),
  responseUptimeMs: randomInt(2 ** 42),
});

/** Every sensor says what is hardest to deflate, and an event with as much data as there may be tells it. */
function largestReport(yaml: string, valueOf: () => string | number | boolean): Report {
  const [config, clock, port] = [configOf(yaml), new FakeClock(), new FakePort('panel')];
  const sensors = createSensors({ config, ports: [port], clock });
  sensors.open({ urgent: () => {}, event: () => {} });
  for (const name of Object.keys(config.sensors)) port.sink?.sample(name, valueOf(), uptimeMs(randomInt(1e9)));
  const trigger: Trigger = {
    kind: 'event',
    name: nameOf(),
    agoMs: 987_654_321,
    data: boundedData({ text: noise(MAX_EVENT_DATA_BYTES - '{"text":""}'.length) }),
  };
  expect(trigger.data).not.toHaveProperty('tooLarge');
  const readings = sensors.readings(uptimeMs(987_654_321));
  const report = buildReport({
    device: 'k'.repeat(36),
    incarnation: 'Q2hhbmdlIG1',
    start: 987_654,
    sequence: 987_654_321,
    bootId: '3c1a4f0e-6b8d-4d57-9a1e-0c5f2b7d9e31',
    uptime: uptimeMs(987_654_321),
    segment: 123_456_789,
    wall: wallMs(1_795_464_003_118),
    trigger,
    nextWithinMs: 350_000,
    ask: 'b8Jw0aVx2Nc',
    readings,
    exchanges: Array.from({ length: MAX_EXCHANGES }, exchange),
    host: HOST,
    agentVersion: noise(256),
    outbox: { waiting: 4096, droppedRoutine: 987_654, droppedEvents: 987_654 },
  });
  expect(Object.values(readings).every(({ quality }) => quality !== 'bad')).toBe(true);
  return parseReport(report);
}

describe('the largest state that a configuration allows', () => {
  it.each([
    ['texts', 'kind: text, maxAgeMs: 31622400000', () => noise(256)],
    ['texts of other scripts', 'kind: text, maxAgeMs: 31622400000', () => wideNoise(256)],
    [
      'numbers',
      `kind: number, maxAgeMs: 31622400000, unit: '${wideNoise(48)}'`,
      () => (Math.random() - 0.5) * 10 ** randomInt(-300, 300),
    ],
    ['contacts', 'kind: binary, maxAgeMs: 31622400000', () => randomInt(2) === 1],
  ])('fits one message, with an event: %s', async (_what, settings, valueOf) => {
    const count = most(settings);
    expect(count).toBeGreaterThan(90);
    const report = largestReport(sensorsYaml(count, settings), valueOf);
    const { signing } = await makeTestKey();
    // Even if nothing of it could be deflated.
    for (const envelope of [await seal('report', report, signing, deflater), await seal('report', report, signing)])
      expect(envelope.length).toBeLessThan(MAX_ENVELOPE_BYTES);
  });

  it('leaves room for as many contacts as there may be, with names that are usual', () => {
    const names = Array.from({ length: 256 }, (_, i) => `car-park-1-bay-${String(i).padStart(4, '0')}`);
    const yaml =
      HEAD + names.map((name) => `  ${name}: { kind: binary, source: { port: panel, field: x } }\n`).join('');
    expect(fits(yaml)).toBe(true);
    expect(fits(`${yaml}  one-more: { kind: binary, source: { port: panel, field: x } }\n`)).toBe(false);
  });

  it('marks data of an event that are too large, by their bytes', () => {
    const data = { text: noise(MAX_EVENT_DATA_BYTES - '{"text":""}'.length) };
    expect(boundedData(data)).toBe(data);
    expect(boundedData({ text: `${data.text}x` })).toEqual({ tooLarge: true });
    expect(boundedData({ text: '€'.repeat(2_000) })).toEqual({ tooLarge: true });
  });
});
