import { mkdtemp, rm, symlink, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OutputState } from '@paddock/agent/act/output.ts';
import type { Outputs } from '@paddock/agent/act/outputs.ts';
import type { OutputValue } from '@paddock/agent/act/settings.ts';
import { holdOutputs, makeOutputsSafe } from '@paddock/agent/acting.ts';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { createSensing, type Sensing } from '@paddock/agent/sensing.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LineDevice } from '../../harness/agent/line-device.ts';
import { ModbusSlave } from '../../harness/agent/modbus-slave.ts';
import { quietLog } from '../../harness/agent/quiet-log.ts';
import { configOf } from '../../harness/agent/sense.ts';
import { openPty, type Pty } from '../../harness/pty.ts';

const WITHIN = { timeout: 10_000, interval: 5 };
const YAML = `
ports:
  panel: { kind: serial-lines, path: PANEL, patterns: ['^DOOR=(?<door>open|closed)$'], silentAfterMs: 0 }
  bus: { kind: modbus-rtu, path: BUS, baudRate: 115200, timeoutMs: 60, pollMs: 20 }
sensors:
  door: { kind: binary, source: { port: panel, field: door, on: open } }
  power: { kind: number, source: { port: bus, unit: 1, table: input, address: 12 } }
outputs:
  light:
    kind: binary
    safe: false
    target: { port: panel, send: "LIGHT {value}\\r\\n", words: { true: on, false: off }, answer: "OK {value}", refusal: '^ERR',
      ask: "LIGHT?\\r\\n", told: '^LIGHT=(?<value>on|off)$', timeoutMs: 60, retries: 1, checkMs: 200 }
  fan: { kind: number, safe: 20, range: [0, 100], target: { port: bus, unit: 1, table: holding, address: 3, scale: 0.5, checkMs: 200, retries: 1 } }
  pump: { kind: binary, target: { port: bus, unit: 2, table: coil, address: 9, readBack: false } }
`;

let home: string;
let ptys: Record<'PANEL' | 'BUS', Pty>;
let device: LineDevice;
let slave: ModbusSlave;
let sensing: Sensing;
let outputs: Outputs;
const clock = createSystemClock();
const config = () => configOf(YAML.replace('PANEL', join(home, 'PANEL')).replace('BUS', join(home, 'BUS')));

async function plug(name: 'PANEL' | 'BUS'): Promise<Pty> {
  const pty = openPty();
  await symlink(pty.path, join(home, name));
  return pty;
}

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-outputs-'));
  ptys = { PANEL: await plug('PANEL'), BUS: await plug('BUS') };
  device = new LineDevice(ptys.PANEL.master);
  slave = new ModbusSlave(ptys.BUS.master, { 1: { input: { 12: 7 }, holding: { 3: 0 } }, 2: { coil: { 9: 1 } } });
  sensing = createSensing(config(), clock);
  outputs = await holdOutputs(config(), sensing, clock, quietLog());
});
afterEach(async () => {
  await outputs.close();
  await sensing.close();
  for (const { master } of Object.values(ptys)) master.close();
  await rm(home, { recursive: true, force: true });
});

const state = (name: string): OutputState | undefined => outputs.states()[name];
async function becomes(name: string, actual: OutputValue): Promise<void> {
  await expect.poll(() => state(name), WITHIN).toMatchObject({ actual, fault: null });
}
async function fails(name: string, code: string): Promise<void> {
  await expect.poll(() => state(name)?.fault?.code, WITHIN).toBe(code);
}
async function sees(sensor: string, value: unknown): Promise<void> {
  await expect.poll(() => sensing.readings()[sensor]?.value, WITHIN).toBe(value);
}

describe('outputs on lines that sensors read from', () => {
  it('are safe from the start, what they are set to, and safe at the end', async () => {
    await becomes('light', false);
    await becomes('fan', 20);
    expect(slave.units[1]?.holding).toEqual({ 3: 40 });
    // Nothing is sent where no safe value is configured.
    expect(slave.requests.filter((request) => request.includes('coil'))).toEqual([]);
    sensing.open({ urgent() {}, event() {} });
    outputs.set('light', true);
    outputs.set('fan', 62.5);
    outputs.set('pump', false);
    await becomes('light', true);
    await becomes('fan', 62.5);
    await becomes('pump', false);
    expect([device.light, slave.units[1]?.holding, slave.units[2]?.coil]).toEqual(['on', { 3: 125 }, { 9: 0 }]);
    // What the device says besides is for the sensors, and the answers are not.
    await sees('door', true);
    await sees('power', 7);
    expect(sensing.ports().find(({ name }) => name === 'panel')?.faults).toEqual({});
    await outputs.close();
    expect([device.light, slave.units[1]?.holding, slave.units[2]?.coil]).toEqual(['off', { 3: 40 }, { 9: 0 }]);
  });

  it('are put right when somebody else sets them, or they forget', async () => {
    outputs.set('light', true);
    await becomes('light', true);
    await becomes('fan', 20);
    device.light = 'off';
    slave.units[1] = { ...slave.units[1], holding: { 3: 0 } };
    await expect.poll(() => [device.light, slave.units[1]?.holding?.[3]], WITHIN).toEqual(['on', 40]);
  });

  it('are what they shall be when their adapter was pulled and is back', async () => {
    outputs.set('light', true);
    await becomes('light', true);
    await unlink(join(home, 'PANEL'));
    ptys.PANEL.master.close();
    await fails('light', 'output_port_gone');
    // One line costs the other nothing.
    outputs.set('fan', 50);
    await becomes('fan', 50);
    ptys.PANEL = await plug('PANEL');
    device = new LineDevice(ptys.PANEL.master);
    await becomes('light', true);
    expect(device.light).toBe('on');
  });

  it.each([
    ['mute', 'output_no_answer'],
    ['garbled', 'output_no_answer'],
    ['refuse', 'output_refused'],
    ['late', 'output_no_answer'],
  ] as const)('say so when the device is %s, and are set when it is well again', async (mood, code) => {
    sensing.open({ urgent() {}, event() {} });
    await becomes('light', false);
    device.mood = mood;
    outputs.set('light', true);
    await fails('light', code);
    await sees('door', mood !== 'garbled');
    device.mood = 'well';
    await becomes('light', true);
    expect(device.light).toBe('on');
  });

  it('say so when a unit is mute, refuses, damages its answer, or does not do what it acknowledged', async () => {
    await becomes('fan', 20);
    slave.faults[1] = { stuck: true };
    outputs.set('fan', 30);
    await fails('fan', 'output_mismatch');
    slave.faults[1] = { crc: true };
    await fails('fan', 'output_damaged');
    slave.faults[1] = { mute: true };
    await fails('fan', 'output_no_answer');
    slave.faults[1] = {};
    await becomes('fan', 30);
    slave.units[2] = {};
    outputs.set('pump', true);
    await fails('pump', 'output_refused');
    slave.units[2] = { coil: { 9: 0 } };
    await becomes('pump', true);
    expect(slave.units[2]).toEqual({ coil: { 9: 1 } });
  });
});

it('outputs on lines that nobody holds are made safe by a command, and named where they cannot be', async () => {
  outputs.set('light', true);
  outputs.set('fan', 80);
  await becomes('light', true);
  await becomes('fan', 80);
  // As a kill leaves them.
  outputs.release();
  await sensing.close();
  slave.faults[1] = { mute: true };
  expect(await makeOutputsSafe(config(), clock)).toEqual([
    { output: 'light', safe: false, fault: null },
    { output: 'fan', safe: 20, fault: { code: 'output_no_answer', message: expect.any(String) } },
  ]);
  expect(device.light).toBe('off');
});
