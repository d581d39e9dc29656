import { GpioPort } from '@paddock/agent/sense/gpio-port.ts';
import type { WantedPin } from '@paddock/agent/sense/pin-line.ts';
import type { PinSource } from '@paddock/agent/sense/settings.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeGpio } from '../../../harness/agent/fake-gpio.ts';
import { Listener } from '../../../harness/agent/sense.ts';

const pin = (line: number | string, settings: Partial<PinSource> = {}, counts = false): WantedPin => ({
  source: { kind: 'gpio', port: 'pins', line, activeLow: false, bias: 'as-is', debounceUs: 0, ...settings },
  counts,
});
const SENSORS = new Map([
  ['door', pin('DOOR')],
  ['meter', pin(5, {}, true)],
]);

async function bench(
  sensors: ReadonlyMap<string, WantedPin> = SENSORS,
  change: (gpio: FakeGpio, clock: FakeClock) => void = () => {},
) {
  const [clock, gpio, listener] = [new FakeClock(), new FakeGpio(), new Listener()];
  change(gpio, clock);
  const config = { chip: 'bench', pollMs: 1000 };
  const port = new GpioPort({
    name: 'pins',
    config,
    sensors,
    gpio: () => Promise.resolve(gpio),
    clock,
    random: () => 1,
  });
  port.open(listener);
  await clock.advance(0);
  return {
    clock,
    gpio,
    port,
    told: () => listener.take(),
    drive: (line: number | string, level: boolean) => gpio.drive(line, level, clock.monotonic()),
  };
}

describe('a port of GPIO lines', () => {
  it('tells levels and counts at once, and again with every poll', async () => {
    const { clock, told, port, gpio } = await bench();
    const well = [
      { sensor: 'door', value: false },
      { sensor: 'meter', value: 0 },
    ];
    expect(told()).toEqual(well);
    await clock.advance(1000);
    expect(told()).toEqual(well);
    expect([...gpio.users]).toEqual([
      ['DOOR', 'paddock:door'],
      [5, 'paddock:meter'],
    ]);
    await port.close();
    expect([...gpio.users]).toEqual([]);
  });

  it('tells an edge when it comes, and takes those that follow soon in one batch', async () => {
    const { clock, told, drive, port } = await bench();
    told();
    drive('DOOR', true);
    await clock.advance(0);
    expect(told()).toEqual([{ sensor: 'door', value: true }]);
    for (const level of [true, false, true, false, true]) drive(5, level);
    await clock.advance(0);
    expect(told()).toEqual([{ sensor: 'meter', value: 3 }]);
    drive(5, false);
    drive(5, true);
    await clock.advance(19);
    expect(told()).toEqual([]);
    await clock.advance(1);
    expect(told()).toEqual([{ sensor: 'meter', value: 4 }]);
    await port.close();
  });

  it('counts every pulse of a burst that the kernel cannot keep, and says of a contact that edges were lost', async () => {
    const { clock, told, gpio, drive, port } = await bench();
    told();
    gpio.isHeldBack = true;
    for (let i = 0; i < 4000; i += 1) {
      drive('DOOR', i % 2 === 0);
      drive(5, i % 2 === 0);
    }
    gpio.isHeldBack = false;
    await clock.advance(1000);
    const all = told();
    expect(all).toContainEqual({ gap: 'door' });
    expect(all).not.toContainEqual({ gap: 'meter' });
    expect(all.at(-1)).toEqual({ sensor: 'meter', value: 2000 });
    expect(port.status().detail).toBe(
      'door: 2976 edges came faster than they were taken; meter: 976 edges came faster than they were taken',
    );
    await port.close();
  });

  it.each([
    ['gpio_line_busy', 'busy'],
    ['gpio_line_missing', 'no-line'],
    ['gpio_line_refused', 'refused'],
    ['gpio_no_answer', 'no-answer'],
  ] as const)('has the other lines when one is %s, and that one when it is well', async (code, reason) => {
    const { clock, told, gpio, drive, port } = await bench(SENSORS, ({ refused }) => refused.set('DOOR', code));
    expect(told()).toEqual([
      { sensor: 'door', reason },
      { sensor: 'meter', value: 0 },
    ]);
    expect(port.status().detail).toContain(`(${code})`);
    drive(5, true);
    await clock.advance(20);
    expect(told()).toContainEqual({ sensor: 'meter', value: 1 });
    gpio.refused.clear();
    await clock.advance(20_000);
    expect(told()).toContainEqual({ sensor: 'door', value: false });
    expect(port.status()).toEqual({ state: 'open', detail: null });
    await port.close();
  });

  it('lets everything else have its turn between two lines whose chip lets the agent wait', async () => {
    const order: string[] = [];
    const { port, clock } = await bench(SENSORS, (gpio, time) => {
      for (const line of ['DOOR', 5]) gpio.refused.set(line, 'gpio_no_answer');
      gpio.hears = (line) => {
        order.push(String(line));
        time.skip(1000);
      };
      void time.sleep(500).then(() => order.push('others'));
    });
    await clock.advance(1000);
    expect(order.slice(0, 3)).toEqual(['DOOR', 'others', '5']);
    await port.close();
  });

  it('names who has a line that is in use', async () => {
    const { port } = await bench(SENSORS, ({ users }) => users.set('DOOR', 'leds'));
    expect(port.status().detail).toBe('door: The GPIO line is in use: line DOOR is held by leds (gpio_line_busy)');
    await port.close();
  });

  it('says that the chip is gone, asks for it again, and tells of the gap when it is back', async () => {
    const { clock, told, gpio, drive, port } = await bench();
    drive(5, true);
    await clock.advance(100);
    told();
    gpio.pull();
    await clock.advance(1000);
    expect(told()).toEqual([
      { sensor: 'door', reason: 'unplugged' },
      { sensor: 'meter', reason: 'unplugged' },
    ]);
    await clock.advance(60_000);
    expect(port.status()).toMatchObject({ state: 'lost', code: 'gpio_chip_missing' });
    expect(told().length).toBeGreaterThan(0);
    gpio.isMissing = false;
    await clock.advance(30_000);
    const back = told().slice(0, 4);
    expect(back).toContainEqual({ gap: 'door' });
    expect(back).toContainEqual({ sensor: 'door', value: false });
    expect(back).toContainEqual({ sensor: 'meter', value: 1 });
    expect(port.status()).toEqual({ state: 'open', detail: null });
    await port.close();
  });

  it('debounces where the driver refuses to', async () => {
    const lines = new Map([
      ['door', pin('DOOR', { debounceUs: 5000 })],
      ['meter', pin(5, { debounceUs: 5000 }, true)],
    ]);
    const { clock, told, drive, port } = await bench(lines, (gpio) => (gpio.canDebounce = false));
    told();
    for (const level of [true, false, true]) {
      drive('DOOR', level);
      drive(5, level);
    }
    await clock.advance(4);
    expect(told()).toEqual([]);
    await clock.advance(1);
    expect(told()).toEqual([
      { sensor: 'door', value: true },
      { sensor: 'meter', value: 1 },
    ]);
    await clock.advance(1000);
    expect(port.status().detail).toContain('its driver does not debounce, so the agent does');
    await port.close();
  });

  it('looks at levels where the chip tells no edges, and cannot count there', async () => {
    const { clock, told, drive, port } = await bench(SENSORS, (gpio) => (gpio.tellsEdges = false));
    expect(told()).toEqual([
      { sensor: 'door', value: false },
      { sensor: 'meter', reason: 'refused' },
    ]);
    drive('DOOR', true);
    await clock.advance(1000);
    expect(told()).toContainEqual({ sensor: 'door', value: true });
    expect(port.status().detail).toContain('its chip tells no edges');
    await port.close();
  });
});
