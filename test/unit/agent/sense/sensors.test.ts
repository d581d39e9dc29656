import { buildPorts } from '@paddock/agent/sense/build-ports.ts';
import { createSensors } from '@paddock/agent/sense/sensors.ts';
import { createSimulatedPort, waveValue } from '@paddock/agent/adapters/simulated.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeGpio } from '../../../harness/agent/fake-gpio.ts';
import { at, configOf, FakeBus, FakePort, FakeStream } from '../../../harness/agent/sense.ts';

const CONFIG = configOf(`
ports:
  panel: { kind: serial-lines, path: /dev/a, format: json }
sensors:
  door: { kind: binary, source: { port: panel, field: door }, debounceMs: 50, urgent: true }
  lamp: { kind: binary, source: { port: panel, field: lamp } }
`);

function bench() {
  const [clock, port] = [new FakeClock(), new FakePort('panel')];
  const urgent: string[] = [];
  const events: unknown[] = [];
  const sensors = createSensors({ config: CONFIG, ports: [port], clock });
  sensors.open({
    urgent: (sensor) => urgent.push(`${sensor} ${sensors.readings()[sensor]?.changes}`),
    event: (name, data) => events.push({ name, data }),
  });
  const sample = (sensor: string, value: boolean): void => port.sink?.sample(sensor, value, clock.monotonic());
  return { clock, port, sensors, urgent, events, sample };
}

describe('sensors', () => {
  it('reads every sensor, heard of or not', () => {
    const { sensors, sample, port } = bench();
    sample('door', true);
    sample('stranger', true);
    expect(sensors.readings()).toMatchObject({ door: { value: true }, lamp: { value: null, reason: 'no-sample' } });
    port.sink?.fault('door', 'unplugged', at(2000));
    expect(sensors.ports()).toEqual([
      { name: 'panel', state: 'open', detail: null, samples: 2, faults: { unplugged: 1 } },
    ]);
  });

  it('tells an urgent change once it counts, without another sample, and once', async () => {
    const { clock, urgent, sample, sensors } = bench();
    sample('door', false);
    sample('door', true);
    await clock.advance(49);
    expect(urgent).toEqual([]);
    await clock.advance(1);
    expect(urgent).toEqual(['door 1']);
    sample('door', true);
    await clock.advance(1000);
    expect(urgent).toEqual(['door 1']);
    await sensors.close();
  });

  it('tells neither what bounced nor what is not urgent', async () => {
    const { clock, urgent, sample, sensors } = bench();
    for (const sensor of ['door', 'lamp']) sample(sensor, false);
    for (const sensor of ['door', 'lamp']) sample(sensor, true);
    await clock.advance(40);
    sample('door', false);
    await clock.advance(1000);
    expect(urgent).toEqual([]);
    expect(sensors.readings()).toMatchObject({ door: { changes: 0 }, lamp: { changes: 1 } });
    await sensors.close();
  });

  it('waits anew for a change that follows another', async () => {
    const { clock, urgent, sample, sensors } = bench();
    sample('door', false);
    sample('door', true);
    await clock.advance(45);
    sample('door', false);
    sample('door', true);
    await clock.advance(49);
    expect(urgent).toEqual([]);
    await clock.advance(2);
    expect(urgent).toEqual(['door 1']);
    await sensors.close();
  });

  it('believes nothing from before a suspend, and counts what changed meanwhile', async () => {
    const { clock, sensors, sample, urgent } = bench();
    for (const sensor of ['door', 'lamp']) sample(sensor, false);
    clock.suspend();
    expect(sensors.readings()).toMatchObject({
      door: { value: null, ageMs: null, reason: 'stale' },
      lamp: { value: null, ageMs: null, reason: 'stale' },
    });
    for (const sensor of ['door', 'lamp']) sample(sensor, true);
    expect(sensors.readings().lamp).toEqual({ value: true, ageMs: 0, changes: 1, changedAgoMs: 0 });
    await clock.advance(50);
    expect(urgent).toEqual(['door 1']);
    clock.suspend();
    sample('lamp', true);
    expect(sensors.readings()).toMatchObject({
      door: { value: null, changes: 1, changedAgoMs: null },
      lamp: { value: true, changes: 1, changedAgoMs: null, heldForMs: 0 },
    });
    await sensors.close();
  });

  it('lets nothing count that had not stood for its debounce time when the machine fell asleep', async () => {
    const { clock, sensors, sample, urgent } = bench();
    sample('door', false);
    sample('door', true);
    await clock.advance(40);
    clock.suspend();
    await clock.advance(1000);
    expect(urgent).toEqual([]);
    expect(sensors.readings().door).toMatchObject({ reason: 'stale', changes: 0 });
    await sensors.close();
  });

  it('passes events on', () => {
    const { port, events } = bench();
    port.sink?.event('card-swipe', { card: '04A1' }, at(5));
    expect(events).toEqual([{ name: 'card-swipe', data: { card: '04A1' } }]);
  });

  it('tells nothing after it was closed', async () => {
    const { clock, urgent, sample, sensors } = bench();
    sample('door', false);
    sample('door', true);
    await sensors.close();
    await clock.advance(1000);
    expect(urgent).toEqual([]);
  });
});

describe('ports of a configuration', () => {
  it('get the sensors and events that are theirs', async () => {
    const config = configOf(`
ports:
  panel: { kind: serial-lines, path: /dev/a, format: json }
  meter: { kind: modbus-rtu, path: /dev/b }
  pins: { kind: gpio, chip: bench }
  bench: { kind: simulated }
sensors:
  lid: { kind: binary, source: { port: pins, line: LID } }
  pulses: { kind: number, source: { port: pins, line: 4 } }
  door: { kind: binary, source: { port: panel, field: door } }
  power: { kind: number, source: { port: meter, unit: 3, table: input, address: 7 } }
  level: { kind: number, source: { port: bench, wave: counter, periodMs: 1000 } }
events:
  swipe: { source: { port: panel, field: event, equals: swipe } }
`);
    const [clock, stream, bus, gpio] = [new FakeClock(), new FakeStream(), new FakeBus(() => [42]), new FakeGpio()];
    const ports = buildPorts(config, {
      loadDrivers: () => Promise.reject(new Error('there is no driver')),
      openSerial: () => stream,
      openBus: () => bus,
      openSimulated: (port) => createSimulatedPort(port, clock),
      loadGpio: () => Promise.resolve(gpio),
      clock,
      random: () => 0,
    });
    const events: string[] = [];
    const sensors = createSensors({ config, ports, clock });
    sensors.open({ urgent: () => {}, event: (name) => events.push(name) });
    await clock.advance(10);
    stream.say('{"door":true,"event":"swipe"}\n', clock.monotonic());
    gpio.drive('LID', true, clock.monotonic());
    gpio.drive(4, true, clock.monotonic());
    await clock.advance(20);
    expect(sensors.readings()).toMatchObject({ lid: { value: true }, pulses: { value: 1 } });
    expect(sensors.readings()).toMatchObject({ door: { value: true }, power: { value: 42 }, level: { value: 1 } });
    expect(events).toEqual(['swipe']);
    const ages = Object.values(sensors.readings(uptimeMs(clock.monotonic() + 500))).map(({ ageMs }) => ageMs);
    expect(ages.every((age) => age !== null && age >= 500)).toBe(true);
    expect(bus.asked).toEqual(['3 input 7+1']);
    await sensors.close();
    expect(sensors.ports().map(({ state }) => state)).toEqual(['closed', 'closed', 'closed', 'closed']);
  });
});

describe('simulated waves', () => {
  const wave = { periodMs: 1000, low: -1, high: 3 };
  it('follow the clock and nothing else', () => {
    expect([0, 499, 500, 999, 1000].map((ms) => waveValue({ wave: 'square', ...wave }, ms))).toEqual([3, 3, -1, -1, 3]);
    expect([0, 250, 500, 750].map((ms) => waveValue({ wave: 'sine', ...wave }, ms))).toEqual([1, 3, 1, -1]);
    expect([0, 999, 5000].map((ms) => waveValue({ wave: 'counter', ...wave }, ms))).toEqual([-1, -1, 4]);
    expect(waveValue({ wave: 'constant', ...wave }, 123)).toBe(3);
  });
});
