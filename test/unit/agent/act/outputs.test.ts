import { createOutputs } from '@paddock/agent/act/outputs.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeGpio } from '../../../harness/agent/fake-gpio.ts';
import { configOf } from '../../../harness/agent/sense.ts';

const CONFIG = configOf(`
ports: { pins: { kind: gpio, chip: bench } }
outputs:
  lock: { kind: binary, safe: true, target: { port: pins, line: 6 } }
  lamp: { kind: binary, safe: false, target: { port: pins, line: LAMP } }
`);

async function bench(change: (gpio: FakeGpio) => void = () => {}) {
  const [clock, gpio] = [new FakeClock(), new FakeGpio()];
  const logged: object[] = [];
  const note = (fields: object): void => void logged.push(fields);
  const log = { debug: note, info: note, warn: note, error: note };
  change(gpio);
  const outputs = createOutputs(CONFIG, {
    loadGpio: () => Promise.resolve(gpio),
    port: () => undefined,
    clock,
    random: () => 1,
    log,
  });
  await outputs.open();
  return { clock, gpio, outputs, logged, pins: () => [gpio.levels.get(6), gpio.levels.get('LAMP')] };
}

describe('outputs', () => {
  it('are safe from the start, are what they are set to, and are safe at the end', async () => {
    const { outputs, pins, gpio } = await bench();
    expect(pins()).toEqual([true, false]);
    outputs.set('lock', false);
    outputs.set('lamp', true);
    expect(pins()).toEqual([false, true]);
    expect(outputs.states()).toEqual({
      lock: { wanted: false, actual: false, fault: null },
      lamp: { wanted: true, actual: true, fault: null },
    });
    await outputs.close();
    expect(pins()).toEqual([true, false]);
    expect([...gpio.users]).toEqual([]);
  });

  it('are safe at once when the process ends', async () => {
    const { outputs, pins } = await bench();
    outputs.set('lamp', true);
    outputs.release();
    expect(pins()).toEqual([true, false]);
  });

  it('are all safe when the process ends, although a line cannot be closed', async () => {
    const { outputs, pins, gpio } = await bench();
    outputs.set('lock', false);
    outputs.set('lamp', true);
    gpio.closesBadly = true;
    outputs.release();
    expect(pins()).toEqual([true, false]);
  });

  it('hold the others when one is in use, and take it when it is free', async () => {
    const { clock, outputs, gpio, logged } = await bench(({ users }) => users.set(6, 'spi'));
    outputs.set('lock', false);
    expect(outputs.states().lock).toMatchObject({ wanted: false, actual: null, fault: { code: 'gpio_line_busy' } });
    expect(outputs.states().lamp).toEqual({ wanted: false, actual: false, fault: null });
    expect(logged).toEqual([{ code: 'gpio_line_busy', output: 'lock' }]);
    gpio.users.delete(6);
    await clock.advance(1000);
    expect(outputs.states().lock).toEqual({ wanted: false, actual: false, fault: null });
    expect(logged.at(-1)).toEqual({ code: 'output_held', output: 'lock' });
    await outputs.close();
  });

  it('are what they were set to when their chip comes back, and say meanwhile that they are not', async () => {
    const { clock, outputs, gpio, pins } = await bench();
    outputs.set('lamp', true);
    gpio.pull();
    gpio.levels.clear();
    await clock.advance(1000);
    expect(outputs.states().lamp).toMatchObject({ wanted: true, actual: null, fault: { code: 'gpio_chip_gone' } });
    gpio.isMissing = false;
    await clock.advance(60_000);
    expect(pins()).toEqual([true, true]);
    await outputs.close();
  });
});
