import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openPty } from '../../harness/pty.ts';
import { createModbusBus } from '@paddock/agent/adapters/modbus.ts';
import { createSerialStream } from '@paddock/agent/adapters/serial.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { Kiosk } from '../../harness/agent/kiosk.ts';
import { ModbusSlave, type Unit } from '../../harness/agent/modbus-slave.ts';
import type { Sensors } from '@paddock/agent/sense/sensors.ts';
import type { Reading } from '@paddock/shared/report.ts';

const METER = `
ports: { meter: { kind: modbus-rtu, path: TTY, baudRate: 115200, timeoutMs: 60, pollMs: 20 } }
sensors:
  power: { kind: number, unit: kW, range: [0, 22], source: { port: meter, unit: 1, table: input, address: 12, type: float32, scale: 0.001 } }
  energy: { kind: number, source: { port: meter, unit: 1, table: input, address: 14, type: uint32, wordOrder: low-first } }
  limit: { kind: number, source: { port: meter, unit: 1, table: holding, address: 3, type: int16 } }
  relay: { kind: binary, source: { port: meter, unit: 2, table: coil, address: 9 }, urgent: true }
  tamper: { kind: binary, source: { port: meter, unit: 2, table: discrete, address: 0 } }
  state: { kind: enum, values: [idle, busy], source: { port: meter, unit: 2, table: holding, address: 0, map: { 0: idle, 1: busy } } }
`;
const input = { 12: 0x45e1, 13: 0x0000, 14: 0x86a0, 15: 0x0001 };
const units = (): Record<number, Unit> => ({
  1: { input: { ...input }, holding: { 3: 0xfff6 } },
  2: { coil: { 9: 1 }, discrete: { 0: 0 }, holding: { 0: 1 } },
});

let kiosk: Kiosk;
let slave: ModbusSlave;
let sensors: Sensors;
beforeEach(async () => {
  kiosk = await Kiosk.create();
  slave = new ModbusSlave(await kiosk.plug(), units());
  sensors = kiosk.start(METER);
});
afterEach(() => kiosk.stop());

const isWell = ({ value }: Reading): boolean => value !== null;
const because =
  (wanted: string) =>
  ({ reason }: Reading): boolean =>
    reason === wanted;
const allWell = async (): Promise<void> => {
  for (const name of Object.keys(sensors.readings())) await kiosk.sees(name, isWell);
};
const values = () => Object.fromEntries(Object.entries(sensors.readings()).map(([name, { value }]) => [name, value]));

describe('a Modbus bus over a real terminal', () => {
  it('reads registers, coils and inputs of two units', async () => {
    await allWell();
    expect(values()).toEqual({ power: 7.2, energy: 100_000, limit: -10, relay: true, tamper: false, state: 'busy' });
    expect(slave.requests).toContain('1 input 12+4');
    slave.units[2] = { ...slave.units[2], coil: { 9: 0 } };
    expect(await kiosk.sees('relay', ({ value }) => value === false)).toMatchObject({ changes: 1 });
    expect(kiosk.urgent).toEqual(['relay']);
  });

  it('keeps reading one unit while the other says nothing', async () => {
    await allWell();
    slave.faults[2] = { mute: true };
    await kiosk.sees('relay', because('no-answer'));
    await kiosk.sees('state', because('no-answer'));
    expect(await kiosk.sees('power', isWell)).toMatchObject({ value: 7.2 });
    expect(sensors.ports()).toMatchObject([{ state: 'open', detail: expect.stringContaining('unit 2') }]);
    slave.faults[2] = {};
    await allWell();
  });

  it('takes no answer from another unit than it asked', async () => {
    slave.faults[2] = { as: 3 };
    expect(await kiosk.sees('relay', because('no-answer'))).toMatchObject({ value: null, quality: 'bad' });
    await kiosk.sees('power', isWell);
  });

  it('calls a damaged answer just that, and takes the next whole one', async () => {
    await allWell();
    slave.faults[1] = { crc: true };
    expect(await kiosk.sees('power', because('checksum'))).toMatchObject({ value: null, quality: 'bad' });
    await kiosk.sees('relay', isWell);
    slave.faults[1] = {};
    await kiosk.sees('power', isWell);
  });

  it('finds the answer behind noise on the line', async () => {
    slave.faults[1] = { noise: Uint8Array.of(0xff, 0x00, 0x01, 0x55) };
    expect(await kiosk.sees('power', isWell)).toMatchObject({ value: 7.2 });
  });

  it('says that a unit refuses, and still reads what it does not refuse', async () => {
    slave.units[1] = { ...slave.units[1], input: { 12: input[12], 13: input[13] } };
    expect(await kiosk.sees('energy', because('refused'))).toMatchObject({ value: null, quality: 'bad' });
    expect(await kiosk.sees('power', isWell)).toMatchObject({ value: 7.2 });
  });

  it('is opened again after it was pulled', async () => {
    await allWell();
    await kiosk.pull();
    for (const name of ['power', 'relay']) {
      expect(await kiosk.sees(name, because('unplugged'))).toMatchObject({ value: null, quality: 'bad' });
    }
    slave = new ModbusSlave(await kiosk.plug(), { ...units(), 2: { ...units()[2], coil: { 9: 0 } } });
    await allWell();
    expect(sensors.readings().relay).toMatchObject({ value: false, changes: 1 });
  });
});

describe('a bus whose unit answers too late', () => {
  it('never takes that answer for the one to the next question', async () => {
    const pty = openPty();
    const unit = new ModbusSlave(pty.master, { 1: { holding: { 1: 11, 3: 33 } } });
    const [clock, serial] = [
      createSystemClock(),
      { baudRate: 9600, dataBits: 8, parity: 'none', stopBits: 1 } as const,
    ];
    const line = { ...serial, path: pty.path, timeoutMs: 60 };
    const bus = createModbusBus(line, createSerialStream(line, clock), clock);
    const read = (address: number) => bus.read({ unit: 1, table: 'holding', address, count: 1 });
    try {
      await bus.open({ lost: () => {} });
      expect(await read(1)).toEqual([11]);
      unit.faults[1] = { lateMs: 80 };
      await expect(read(3)).rejects.toMatchObject({ code: 'no-answer' });
      unit.faults[1] = {};
      expect(await read(1)).toEqual([11]);
      expect(await read(3)).toEqual([33]);
    } finally {
      await bus.close();
      pty.master.close();
    }
  });
});
