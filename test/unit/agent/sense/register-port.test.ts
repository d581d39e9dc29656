import { BusError, type RegisterRequest } from '@paddock/agent/ports.ts';
import { RegisterPort } from '@paddock/agent/sense/register-port.ts';
import type { RegisterSource } from '@paddock/agent/sense/settings.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeBus, Listener } from '../../../harness/agent/sense.ts';

const source = (unit: number, address: number, type: RegisterSource['type'] = 'uint16'): RegisterSource => ({
  kind: 'modbus-rtu',
  port: 'bus',
  unit,
  table: 'input',
  address,
  type,
  wordOrder: 'high-first',
  byteOrder: 'high-first',
});
const SENSORS = new Map([
  ['a', source(1, 0)],
  ['b', source(1, 1)],
  ['far', source(1, 9)],
  ['other', source(2, 0)],
]);
/** Each register holds a hundred times its unit plus its address. */
const honest = ({ unit, address, count }: RegisterRequest) =>
  Array.from({ length: count }, (_, i) => unit * 100 + address + i);
const failing =
  (code: BusError['code'], when: (request: RegisterRequest) => boolean) =>
  (request: RegisterRequest): readonly number[] => {
    if (when(request)) throw new BusError(code, 'on purpose');
    return honest(request);
  };

async function bench(answer: FakeBus['answer'] = honest, sensors = SENSORS) {
  const [clock, bus, listener] = [new FakeClock(), new FakeBus(answer), new Listener()];
  const port = new RegisterPort({ name: 'bus', config: { pollMs: 1000 }, sensors, bus, clock, random: () => 1 });
  port.open(listener);
  await clock.advance(0);
  return {
    port,
    bus,
    clock,
    listener,
    told: () => Object.fromEntries(listener.take().map((told) => Object.values(told))),
  };
}
const ALL_WELL = { a: 100, b: 101, far: 109, other: 200 };

describe('a port of registers', () => {
  it('reads what is asked for with few requests, every poll', async () => {
    const { bus, clock, told, port } = await bench();
    expect(bus.asked.splice(0)).toEqual(['1 input 0+2', '1 input 9+1', '2 input 0+1']);
    expect(told()).toEqual(ALL_WELL);
    await clock.advance(999);
    expect(bus.asked).toEqual([]);
    await clock.advance(1);
    expect(bus.asked).toHaveLength(3);
    expect(port.status()).toEqual({ state: 'open', detail: null });
    await port.close();
  });

  it('asks the others when a unit does not answer, and that one not twice in a round', async () => {
    const { bus, told, port } = await bench(failing('no-answer', ({ unit }) => unit === 1));
    expect(bus.asked).toEqual(['1 input 0+2', '2 input 0+1']);
    expect(told()).toEqual({ a: 'no-answer', b: 'no-answer', far: 'no-answer', other: 200 });
    expect(port.status()).toEqual({ state: 'open', detail: 'unit 1: on purpose' });
    await port.close();
  });

  it('lets a silent unit rest longer and longer, and takes it back when it answers', async () => {
    const { bus, clock, told, port } = await bench(failing('no-answer', ({ unit }) => unit === 1));
    await clock.advance(100_000);
    const asked = bus.asked.splice(0);
    expect(asked.filter((request) => request.startsWith('2')).length).toBe(101);
    expect(asked.filter((request) => request.startsWith('1')).length).toBeLessThan(12);
    expect(told()).toMatchObject({ a: 'no-answer', other: 200 });
    bus.answer = honest;
    await clock.advance(16_000);
    expect(told()).toEqual(ALL_WELL);
    expect(port.status().detail).toBeNull();
    await port.close();
  });

  it.each(['checksum', 'malformed'] as const)('blames a %s on its request alone and asks again', async (code) => {
    const { clock, bus, told, port } = await bench(failing(code, ({ unit, address }) => unit === 1 && address === 0));
    expect(told()).toEqual({ a: code, b: code, far: 109, other: 200 });
    bus.answer = honest;
    await clock.advance(1000);
    expect(told()).toEqual(ALL_WELL);
    await port.close();
  });

  it('asks one by one when a unit refuses a shared request', async () => {
    const covers =
      (wanted: number) =>
      ({ address, count }: RegisterRequest) =>
        address <= wanted && wanted < address + count;
    const { told, port } = await bench(failing('refused', covers(1)));
    expect(told()).toEqual({ a: 100, b: 'refused', far: 109, other: 200 });
    await port.close();
  });

  it('calls a float that is no number malformed', async () => {
    const { told, port } = await bench(() => [0x7fc0, 0], new Map([['a', source(1, 0, 'float32')]]));
    expect(told()).toEqual({ a: 'malformed' });
    await port.close();
  });

  it.each([
    ['says so', (bus: FakeBus) => bus.lose()],
    ['only shows when it is asked', (bus: FakeBus) => (bus.answer = failing('unplugged', () => true))],
  ])('opens a bus again whose loss %s', async (_how, lose) => {
    const { bus, clock, listener, told, port } = await bench();
    told();
    lose(bus);
    await clock.advance(1000);
    for (const sensor of SENSORS.keys()) expect(listener.told).toContainEqual({ sensor, reason: 'unplugged' });
    bus.answer = honest;
    await clock.advance(2000);
    expect(told()).toEqual(ALL_WELL);
    await port.close();
  });

  it('asks nothing any more when it is closed', async () => {
    const { bus, clock, port } = await bench();
    await port.close();
    bus.asked.splice(0);
    await clock.advance(10_000);
    expect(bus.asked).toEqual([]);
  });
});
