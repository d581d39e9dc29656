import { chargePointAt } from '@paddock/demo/hardware/charge-point.ts';
import { answerRequests, METER_REGISTERS, registerImage, withCrc } from '@paddock/demo/hardware/meter.ts';
import { linesBetween, obey } from '@paddock/demo/hardware/panel.ts';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

const START = Date.parse('2026-11-23T20:00:00Z');
const moment = fc.integer({ min: START, max: START + 86_400_000 });

describe('the charge point', () => {
  it('shows the same at the same moment', () => {
    fc.assert(
      fc.property(moment, (at) => {
        expect(chargePointAt(at)).toEqual(chargePointAt(at));
      }),
    );
  });

  it('never gives energy back, and gives what its power says', () => {
    fc.assert(
      fc.property(moment, fc.integer({ min: 1, max: 200_000 }), (at, span) => {
        const [before, after] = [chargePointAt(at), chargePointAt(at + span)];
        expect(after.energyWh).toBeGreaterThanOrEqual(before.energyWh - 1e-6);
        expect(after.energyWh - before.energyWh).toBeLessThanOrEqual((11_001 * span) / 3_600_000 + 1e-6);
      }),
    );
  });

  it('adds energy up to the integral of its power', () => {
    const STEP_MS = 50;
    let wh = 0;
    for (let at = START; at < START + 300_000; at += STEP_MS) {
      wh += (chargePointAt(at + STEP_MS / 2).powerW * STEP_MS) / 3_600_000;
    }
    const metered = chargePointAt(START + 300_000).energyWh - chargePointAt(START).energyWh;
    expect(wh / metered).toBeCloseTo(1, 2);
  });

  it('only charges a car that is plugged in, and draws current only then', () => {
    fc.assert(
      fc.property(moment, (at) => {
        const { charging, connector, currentA } = chargePointAt(at);
        expect(charging && connector === 'available').toBe(false);
        expect(currentA > 0 && !charging).toBe(false);
      }),
    );
  });
});

describe('the panel', () => {
  it('has a lamp that obeys and tells', () => {
    const on = obey({ isOn: false }, 'light on');
    expect(on).toEqual({ lamp: { isOn: true }, answer: '{"ok":"light on"}' });
    expect(obey({ isOn: true }, 'light?')?.answer).toBe('{"light":"on"}');
    expect(obey({ isOn: true }, 'light')).toBeNull();
  });

  it('tells of every swipe once, and of every change', () => {
    const lines: string[] = [];
    for (let at = START; at < START + 750_000; at += 100) {
      lines.push(...linesBetween(chargePointAt(at), chargePointAt(at + 100), false));
    }
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, string>);
    expect(parsed.filter(({ event }) => event === 'card-swipe')).toHaveLength(10);
    expect(new Set(parsed.map(({ connector }) => connector))).toEqual(new Set(['available', 'occupied', undefined]));
    expect(parsed.filter(({ stop }) => stop === 'pressed').length).toBeGreaterThanOrEqual(10);
  });
});

describe('the meter', () => {
  const state = chargePointAt(START + 30_000);
  const image = registerImage(state);
  const request = (unit: number, fn: number, address: number, count: number): Buffer =>
    withCrc(Buffer.of(unit, fn, address >> 8, address & 0xff, count >> 8, count & 0xff));

  it('has the CRC of the specification', () => {
    // Modbus over serial line V1.02, appendix B: the CRC of 02 07 is 12 41 on the line.
    expect(withCrc(Buffer.of(2, 7)).toString('hex')).toBe('02074112');
  });

  it('answers a read of its registers', () => {
    const { frames, rest } = answerRequests(request(1, 4, 0, 12), image);
    expect(rest).toHaveLength(0);
    const data = frames[0]?.subarray(3, -2) ?? Buffer.alloc(0);
    expect(data.readFloatBE(METER_REGISTERS.voltageV.address * 2)).toBeCloseTo(state.voltageV, 3);
    expect(data.readInt32BE(METER_REGISTERS.energyWh.address * 2)).toBe(Math.round(state.energyWh));
  });

  it('keeps silent for other units and refuses what it does not have', () => {
    expect(answerRequests(request(2, 4, 0, 2), image).frames).toEqual([]);
    expect(answerRequests(request(1, 6, 0, 2), image).frames[0]?.subarray(0, 3)).toEqual(Buffer.of(1, 0x86, 1));
    expect(answerRequests(request(1, 4, 11, 2), image).frames[0]?.subarray(0, 3)).toEqual(Buffer.of(1, 0x84, 2));
  });

  it('finds a request behind garbage, however it is cut', () => {
    // No garbage that could hold a request by chance.
    const garbage = fc.array(fc.constant(0xff), { maxLength: 7 });
    fc.assert(
      fc.property(garbage, fc.integer({ min: 0, max: 15 }), (noise, cut) => {
        const whole = Buffer.concat([Buffer.from(noise), request(1, 4, 0, 2)]);
        const first = answerRequests(whole.subarray(0, cut), image);
        const second = answerRequests(Buffer.concat([first.rest, whole.subarray(cut)]), image);
        expect(first.frames.length + second.frames.length).toBe(1);
      }),
    );
  });
});
