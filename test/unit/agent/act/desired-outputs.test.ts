import { OutputsKey } from '@paddock/agent/act/desired-outputs.ts';
import { createOutputs } from '@paddock/agent/act/outputs.ts';
import { uptimeMs } from '@paddock/shared/time.ts';
import { describe, expect, it, vi } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';
import { FakeGpio } from '../../../harness/agent/fake-gpio.ts';
import { quietLog } from '../../../harness/agent/quiet-log.ts';
import { configOf } from '../../../harness/agent/sense.ts';

const CONFIG = configOf(`
ports: { pins: { kind: gpio, chip: bench } }
outputs:
  lamp: { kind: binary, safe: false, target: { port: pins, line: 1 } }
  heater: { kind: binary, safe: false, whenAway: revert, awaySeconds: 60, target: { port: pins, line: 2 } }
  gate: { kind: binary, safe: true, whenAway: lease, awaySeconds: 60, target: { port: pins, line: 3 } }
`);

async function bench(change: (gpio: FakeGpio) => void = () => {}) {
  const [clock, gpio] = [new FakeClock(), new FakeGpio()];
  change(gpio);
  const parts = { clock, log: quietLog() };
  const loadGpio = () => Promise.resolve(gpio);
  const driven = createOutputs(CONFIG, { ...parts, loadGpio, port: () => undefined, random: () => 1 });
  await driven.open();
  const key = new OutputsKey({ outputs: CONFIG.outputs, driven, ...parts });
  const told = { changes: 0, asks: 0 };
  key.begin({ changed: () => (told.changes += 1), ask: () => (told.asks += 1) });
  const answered = (isCurrent = true) => key.answered({ at: clock.monotonic(), segment: clock.segment() }, isCurrent);
  const apply = async (value: unknown) => {
    const applied = key.apply(value);
    await clock.advance(600);
    return applied;
  };
  const close = async () => {
    key.stop();
    await driven.close();
  };
  return { clock, gpio, key, told, answered, apply, close, pins: () => [1, 2, 3].map((line) => gpio.levels.get(line)) };
}
const states = (key: OutputsKey) => Object.values(key.reported() ?? {}).map(({ state }) => state);

describe('the key outputs', () => {
  it('takes outputs to what is desired, and back when it is gone', async () => {
    const { key, apply, pins, answered, close, told } = await bench();
    answered();
    expect(await apply({ lamp: true, heater: true, gate: false })).toBeNull();
    expect(pins()).toEqual([true, true, false]);
    expect(key.reported()?.['lamp']).toEqual({ state: 'applied', desired: true, actual: true });
    expect(key.standing()).toBeNull();
    expect(told.changes).toBe(1);
    await apply(undefined);
    expect(pins()).toEqual([false, false, true]);
    expect(states(key)).toEqual(['own', 'own', 'own']);
    await close();
  });

  it('names what is wrong with each, and applies the rest', async () => {
    const { key, apply, pins, close } = await bench(({ users }) => users.set(1, 'spi'));
    await apply({ lamp: true, heater: 'warm', gate: { value: false, leaseSeconds: 10 }, 'no.such': 1 });
    expect(pins()).toEqual([undefined, false, true]);
    expect(key.reported()).toMatchObject({
      lamp: { state: 'failed', desired: true, actual: null, error: { code: 'gpio_line_busy' } },
      heater: { state: 'failed', desired: 'warm', actual: false, error: { code: 'output_value_invalid' } },
      gate: { state: 'away', desired: false, actual: true },
      'no.such': { state: 'failed', desired: 1, actual: null, error: { code: 'output_unknown' } },
    });
    const detail = 'lamp: gpio_line_busy, heater: output_value_invalid, no.such: output_unknown';
    expect(key.standing()).toEqual({ code: 'outputs_failed', detail });
    await close();
  });

  it('names no more outputs that it does not have than a report has room for', async () => {
    const { key, apply, close } = await bench();
    await apply(Object.fromEntries(Array.from({ length: 64 }, (_, n) => [`strange-${n}`, 'x'.repeat(64)])));
    expect(Object.keys(key.reported() ?? {})).toHaveLength(3 + 8);
    expect(key.standing()?.detail?.length).toBeLessThanOrEqual(256);
    await close();
  });

  it.each([[[]], ['on'], [{ Lamp: true }], [{ lamp: null }], [{ lamp: { leaseSeconds: 60 } }]])(
    'is desired_value_invalid when it holds %j, and everything is as it would be without it',
    async (value) => {
      const { apply, pins, close } = await bench();
      await apply({ lamp: true });
      expect(await apply(value)).toEqual({ code: 'desired_value_invalid' });
      expect(pins()).toEqual([false, false, true]);
      await close();
    },
  );

  it('after a start holds what depends on the cloud only once it has said something', async () => {
    const { key, apply, pins, answered, close, clock } = await bench();
    await apply({ lamp: true, heater: true, gate: false });
    expect(pins()).toEqual([true, false, true]);
    expect(key.standing()).toEqual({ code: 'outputs_pending', detail: 'heater: away, gate: away' });
    answered(false);
    expect(pins()).toEqual([true, true, true]);
    answered();
    await clock.advance(1_000);
    expect(pins()).toEqual([true, true, false]);
    await close();
  });

  it('reverts each as its policy says when the cloud is away, and takes it back there when it is heard', async () => {
    const { key, apply, pins, answered, close, clock, told } = await bench();
    answered();
    await apply({ lamp: true, heater: true, gate: false });
    await clock.advance(30_000);
    answered(false);
    await clock.advance(30_000);
    expect(pins()).toEqual([true, true, true]);
    await clock.advance(30_500);
    expect(pins()).toEqual([true, false, true]);
    expect(states(key)).toEqual(['applied', 'away', 'away']);
    expect(told.changes).toBe(3);
    answered();
    expect(pins()).toEqual([true, true, false]);
    await close();
  });

  it('asks the cloud for its word in time', async () => {
    const { key, apply, answered, close, clock, told } = await bench();
    expect(key.askAfterMs()).toBeNull();
    await apply({ heater: true });
    answered();
    expect(key.askAfterMs()).toBe(15_000);
    await clock.advance(59_000);
    expect(told.asks).toBe(2);
    // Nobody answers: less and less often.
    await clock.advance(3_600_000);
    expect(told.asks).toBeLessThan(20);
    // What answers now answers something old: it is asked again, at once, for something that proves more.
    const before = told.asks;
    key.answered({ at: uptimeMs(clock.monotonic() - 50_000), segment: 0 }, true);
    answered();
    expect(told.asks).toBe(before + 1);
    await close();
  });

  it('knows of no span across a suspend', async () => {
    const { apply, pins, answered, close, clock } = await bench();
    answered();
    await apply({ heater: true });
    clock.suspend(1_000);
    await clock.advance(1_500);
    expect(pins()[1]).toBe(false);
    answered();
    expect(pins()[1]).toBe(true);
    await close();
  });

  it('takes up on a chip that comes back what still holds, and nothing whose time is over', async () => {
    const { key, gpio, apply, pins, answered, close, clock } = await bench();
    answered();
    gpio.pull();
    gpio.levels.clear();
    await clock.advance(1_000);
    await apply({ lamp: true, heater: true, gate: { value: false, leaseSeconds: 600 } });
    expect(states(key)).toEqual(['failed', 'failed', 'failed']);
    await clock.advance(120_000);
    expect(pins()).toEqual([undefined, undefined, undefined]);
    gpio.isMissing = false;
    await clock.advance(30_000);
    // Two minutes after its last word the cloud is away for the heater, and not yet for the gate.
    expect(pins()).toEqual([true, false, false]);
    expect(states(key)).toEqual(['applied', 'away', 'applied']);
    gpio.pull();
    await clock.advance(500_000);
    gpio.isMissing = false;
    const driven = vi.spyOn(gpio.levels, 'set');
    await clock.advance(30_000);
    expect(pins()).toEqual([true, false, true]);
    // Not even for a moment.
    expect(driven).not.toHaveBeenCalledWith(3, false);
    await close();
  });

  it('takes no notice of the wall clock', async () => {
    const { apply, pins, answered, close, clock } = await bench();
    answered();
    await apply({ heater: true });
    for (const wall of [0, Date.UTC(2199, 0), Date.UTC(2026, 0)]) {
      clock.setWall(wall);
      await clock.advance(15_000);
      expect(pins()[1]).toBe(true);
    }
    await clock.advance(20_000);
    expect(pins()[1]).toBe(false);
    await close();
  });
});
