import type { Actuator } from '@paddock/agent/act/actuators.ts';
import { SentOutput } from '@paddock/agent/act/sent-output.ts';
import type { OutputValue } from '@paddock/agent/act/settings.ts';
import { BusError } from '@paddock/agent/ports.ts';
import { describe, expect, it } from 'vitest';
import { FakeClock } from '../../../harness/agent/fake-clock.ts';

/** Hardware on a port that can be pulled, be deaf, be stuck, and be set by others. */
class Hardware implements Actuator {
  value: OutputValue = 'unknown';
  opened = 1;
  failing: BusError['code'] | null = null;
  isStuck = false;
  readonly done: string[] = [];
  look: Actuator['look'] = async () => {
    this.#answer('look');
    return this.value;
  };
  life = (): number => this.opened;
  async set(value: OutputValue): Promise<OutputValue> {
    this.#answer(`set ${String(value)}`);
    if (!this.isStuck) this.value = value;
    return this.value;
  }
  #answer(what: string): void {
    this.done.push(what);
    if (this.failing !== null) throw new BusError(this.failing, 'on purpose');
  }
}

async function bench(safe: OutputValue | null = false, change: (hardware: Hardware) => void = () => {}) {
  const [clock, hardware] = [new FakeClock(), new Hardware()];
  change(hardware);
  const timing = { retries: 1, checkMs: 5_000, clock, random: () => 1 };
  const output = new SentOutput({ safe, actuator: hardware, ...timing, changed: () => {} });
  await output.open();
  await clock.advance(10);
  return { clock, hardware, output };
}

describe('an output that has to be told', () => {
  it('is told its safe value at the start, what is wanted, and its safe value at the end', async () => {
    const { clock, hardware, output } = await bench();
    expect(output.state()).toEqual({ wanted: false, actual: false, fault: null });
    output.want(true);
    await clock.advance(10);
    expect(output.state()).toEqual({ wanted: true, actual: true, fault: null });
    // The same again is no news to it.
    output.want(true);
    await clock.advance(4_000);
    expect(hardware.done).toEqual(['set false', 'set true']);
    await output.close();
    expect(hardware.value).toBe(false);
  });

  it('is left as it is where no safe value is configured, and looked at nevertheless', async () => {
    const { hardware, output } = await bench(null);
    expect(hardware.done).toEqual(['look']);
    expect(output.state()).toEqual({ wanted: null, actual: 'unknown', fault: null });
    await output.close();
    expect(hardware.done).toEqual(['look']);
  });

  it('is put right when it is read back as something else', async () => {
    const { clock, hardware, output } = await bench();
    hardware.value = true;
    await clock.advance(6_000);
    expect(hardware.value).toBe(false);
    expect(output.state()).toEqual({ wanted: false, actual: false, fault: null });
    await output.close();
  });

  it('is told again when its port was opened anew, because it may have forgotten', async () => {
    const { clock, hardware, output } = await bench();
    hardware.opened = 0;
    await clock.advance(1_000);
    expect(output.state()).toMatchObject({ actual: null, fault: { code: 'output_port_gone', reason: 'unplugged' } });
    output.want(true);
    hardware.value = 'unknown';
    hardware.opened = 2;
    await clock.advance(1_000);
    expect(output.state()).toEqual({ wanted: true, actual: true, fault: null });
    await output.close();
  });

  it('is told again when its port was away for so short that nobody saw it', async () => {
    const { clock, hardware, output } = await bench();
    hardware.value = 'unknown';
    hardware.opened = 2;
    await clock.advance(1_000);
    expect(hardware.value).toBe(false);
    await output.close();
  });

  it.each([
    ['no-answer', 'output_no_answer', 2],
    ['checksum', 'output_damaged', 2],
    ['malformed', 'output_damaged', 2],
    // Said once is said.
    ['refused', 'output_refused', 1],
  ] as const)('says %s as %s after %i attempts, and goes on trying', async (failing, code, attempts) => {
    const { clock, hardware, output } = await bench(false, (before) => (before.failing = failing));
    expect(output.state()).toMatchObject({ actual: null, fault: { code } });
    expect(hardware.done).toHaveLength(attempts);
    await clock.advance(100_000);
    expect(hardware.done.length).toBeLessThan(16 * attempts);
    hardware.failing = null;
    await clock.advance(30_000);
    expect(output.state()).toEqual({ wanted: false, actual: false, fault: null });
    await output.close();
  });

  it('says so when something else is read back than was set', async () => {
    const { output } = await bench(false, (hardware) => (hardware.isStuck = true));
    expect(output.state()).toMatchObject({ wanted: false, actual: 'unknown', fault: { code: 'output_mismatch' } });
    await output.close();
  });

  it('takes what is wanted at once, whatever it waits for', async () => {
    const { clock, hardware, output } = await bench(false, (before) => (before.failing = 'refused'));
    await clock.advance(40_000);
    hardware.failing = null;
    output.want(true);
    await clock.advance(10);
    expect(output.state()).toEqual({ wanted: true, actual: true, fault: null });
    await output.close();
  });

  it('holds nobody up at the end when it does not answer', async () => {
    const { clock, hardware, output } = await bench();
    output.want(true);
    await clock.advance(10);
    hardware.set = () => new Promise(() => {});
    const closed = output.close();
    await clock.advance(2_000);
    expect(await closed).toBeUndefined();
  });
});
