import { join } from 'node:path';
import type { ChipFacts } from '@paddock/agent/ports-gpio.ts';
import type { Reading } from '@paddock/shared/report.ts';
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { GpioProgramState, Order } from '../harness/agent/gpio-orders.ts';
import type { Chip } from '../harness/vm/gpio.ts';
import { bundlePrograms, type GuestPrograms } from '../harness/vm/guest-programs.ts';
import { bootKiosk, type Kiosk } from '../harness/vm/kiosk.ts';
import { CAN_BOOT, needsMachine } from '../harness/vm/needs-machine.ts';

/** Software emulation beside other tests: everything takes its time. */
const LONG = { timeout: 300_000, interval: 300 };
/** For what runs until the test ends it. */
const FOREVER_MS = 3_600_000;
const REPOSITORY = join(import.meta.dirname, '../..');
const HERE = '/mnt/paddock';
const NODE = `${HERE}/node_modules/.bin/node`;
const STATE = '/run/gpio';
const LINES = ['DOOR', 'BOUNCY', 'METER', 'TAKEN', 'LOCK'] as const;
const CONFIG = `
device: kiosk-0001
cloud: { url: mqtt://127.0.0.1:1 }
ports: { pins: { kind: gpio, chip: panel, pollMs: 500 } }
sensors:
  door: { kind: binary, chatter: { changes: 1000 }, source: { port: pins, line: DOOR } }
  bouncy: { kind: binary, source: { port: pins, line: BOUNCY, debounceUs: 200000 } }
  meter: { kind: number, source: { port: pins, line: 2, edge: both } }
  taken: { kind: enum, values: [open, closed], source: { port: pins, line: TAKEN, map: { true: open, false: closed } } }
outputs:
  lock: { kind: binary, safe: true, target: { port: pins, line: LOCK } }
`;

let kiosk: Kiosk;
let chip: Chip;
let programs: GuestPrograms;

beforeAll(async () => {
  if (!CAN_BOOT) return;
  const sources = ['gpio-program.ts', 'draw-pin.ts'].map((name) => join(REPOSITORY, 'test/harness/agent', name));
  programs = await bundlePrograms(sources);
  kiosk = await bootKiosk({ init: 'bare', shares: { paddock: REPOSITORY } });
  chip = await kiosk.gpio.addChip('panel', LINES);
  await kiosk.succeed(`
    set -e
    modprobe -a 9pnet_virtio 9p
    mkdir -p ${HERE} ${STATE}
    mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro paddock ${HERE}
    # The kernel's thread of an interrupt runs at once then, however busy the machine below is.
    echo 0 > /sys/devices/system/cpu/cpu1/online
    cat > ${STATE}/agent.yaml <<'YAML'\n${CONFIG}\nYAML`);
});
afterAll(async () => {
  await kiosk?.close();
  await programs?.remove();
});
beforeEach(needsMachine);

const pullOf = (line: (typeof LINES)[number]): string => `${chip.directory}/sim_gpio${LINES.indexOf(line)}/pull`;
const program = (name: string): string => `${NODE} ${HERE}/${programs.directory}/${name}`;

/** Starts the sensors and outputs of the configuration in the kiosk. @returns how that ended, when it has */
function startProgram(): Promise<unknown> {
  const started = `${program('programs/gpio-program.mjs')} ${STATE}/agent.yaml ${STATE}`;
  const run = kiosk.run(
    `rm -f ${STATE}/*.json ${STATE}/*.done; ${started} & echo $! > ${STATE}/pid; wait $!`,
    FOREVER_MS,
  );
  // A test that fails leaves it running when the kiosk is switched off.
  run.catch(() => {});
  return run;
}

async function state(): Promise<GpioProgramState | null> {
  const { code, stdout } = await kiosk.run(`cat ${STATE}/state.json`);
  return code === 0 ? (JSON.parse(stdout) as GpioProgramState) : null;
}

/** The state as soon as it is as wanted. */
const stateWith = async (is: (state: GpioProgramState) => boolean): Promise<GpioProgramState> => {
  let found: GpioProgramState | null = null;
  const fits = async (): Promise<boolean> => (found = await state()) !== null && is(found);
  return vi
    .waitUntil(async () => (await fits()) && found, LONG)
    .catch((cause: unknown) => {
      throw new Error(`It never came to this: ${JSON.stringify(found)}`, { cause });
    });
};
const readingWith = async (sensor: string, is: (reading: Reading) => boolean): Promise<Reading> =>
  (await stateWith(({ readings }) => is(readings[sensor] as Reading))).readings[sensor] as Reading;

async function order(what: Order): Promise<Record<string, unknown>> {
  const at = `${STATE}/order.json`;
  await kiosk.succeed(`rm -f ${at}.done; echo '${JSON.stringify(what)}' > ${at}.part; mv ${at}.part ${at}`);
  const done = await kiosk.succeed(`until [ -e ${at}.done ]; do sleep 0.1; done; cat ${at}.done`);
  return JSON.parse(done) as Record<string, unknown>;
}

const draw = (line: (typeof LINES)[number], edges: number, everyMicros: number, done = ''): Promise<string> =>
  kiosk.succeed(`${program('programs/draw-pin.mjs')} ${pullOf(line)} ${edges} ${everyMicros} ${done}`);

let ended: Promise<unknown> = Promise.resolve();

test('a line that somebody else has is named with its holder, the others are read, and outputs are safe', async () => {
  const other = kiosk.run(`exec gpioset --mode=signal ${chip.name} 3=1`, FOREVER_MS);
  await vi.waitUntil(async () => (await kiosk.run('pgrep gpioset')).code === 0, LONG);
  ended = startProgram();
  // Who holds it is said at the end of a round over all lines.
  const { readings, ports } = await stateWith(
    ({ readings: { door, taken }, ports: [pins] }) =>
      door?.value === false && taken?.reason === 'busy' && typeof pins?.detail === 'string',
  );
  expect(readings).toMatchObject({
    meter: { value: 0 },
    bouncy: { value: false },
    taken: { quality: 'bad', value: null },
  });
  expect(ports[0]?.detail).toMatch(
    /taken: The GPIO line is in use: line 3 of .* is held by gpioset \(gpio_line_busy\)/,
  );
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(1);
  await kiosk.run('pkill gpioset');
  await other;
  expect(await readingWith('taken', ({ value }) => value !== null)).toMatchObject({ value: 'closed' });
});

test('paddock-agent gpio lists the chip with its lines, and who has them', async () => {
  const { chips } = JSON.parse(await kiosk.succeed(`${program('paddock-agent.cjs')} gpio --json`)) as {
    chips: ChipFacts[];
  };
  const panel = chips.find(({ label }) => label === 'panel');
  expect(panel?.lines.map(({ name, user, direction }) => [name, user, direction])).toEqual([
    ['DOOR', 'paddock:door', 'input'],
    ['BOUNCY', 'paddock:bouncy', 'input'],
    ['METER', 'paddock:meter', 'input'],
    ['TAKEN', 'paddock:taken', 'input'],
    ['LOCK', 'paddock:lock', 'output'],
  ]);
});

test('an edge has the moment of the kernel, whenever the agent comes to it', async () => {
  const done = await order({ kind: 'pull-and-stall', file: pullOf('DOOR'), pull: 'pull-up', ms: 1500 });
  const { at, readings } = await stateWith(({ readings: { door } }) => door?.value === true);
  const changedAt = at - (readings.door?.changedAgoMs ?? 0);
  // Both are whole milliseconds, rounded down.
  expect(changedAt).toBeGreaterThanOrEqual(Number(done.before) - 1);
  expect(changedAt).toBeLessThanOrEqual(Number(done.after) + 1);
  expect(readings.door).toMatchObject({ changes: 1 });
});

test('a contact that bounces changes once', async () => {
  await draw('BOUNCY', 9, 0);
  await readingWith('bouncy', ({ value }) => value === true);
  expect(await readingWith('bouncy', () => true)).toMatchObject({ changes: 1 });
});

test('10,000 edges at 1 kHz are counted, every one', async () => {
  const before = await state();
  const tookMs = Number(await draw('METER', 10_000, 1000));
  const after = await stateWith(({ readings: { meter } }) => Number(meter?.value) >= 10_000);
  expect(after.readings.meter).toMatchObject({ value: 10_000 });
  expect(after.readings.meter).not.toHaveProperty('gaps');
  const processorMs = after.processorMs - (before?.processorMs ?? 0);
  process.stdout.write(`10,000 edges in ${tookMs} ms, ${processorMs} ms of processor time, ${after.rssMiB} MiB\n`);
});

test('edges that come faster than they are taken are still counted, and a contact says that some were lost', async () => {
  const done = `${STATE}/drawn`;
  const stalled = order({ kind: 'stall-until', file: done });
  await kiosk.succeed(`while [ -e ${STATE}/order.json ]; do sleep 0.1; done`);
  await draw('METER', 3000, 200);
  await draw('DOOR', 3000, 200, done);
  await stalled;
  expect(await readingWith('meter', ({ value }) => Number(value) > 10_000)).toMatchObject({ value: 13_000 });
  const door = await readingWith('door', ({ gaps }) => gaps !== undefined);
  expect(door).toMatchObject({ quality: 'suspect', reason: 'edges-lost' });
  const lost = 'meter: 1976 edges came faster than they were taken';
  await stateWith(({ ports: [pins] }) => pins?.detail?.includes(lost) === true);
});

test('an output is set and read back, and nobody else can have it', async () => {
  expect(await order({ kind: 'set', output: 'lock', level: false })).toEqual({ level: false });
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(0);
  const safe = await kiosk.run(`${program('paddock-agent.cjs')} outputs safe --json --config ${STATE}/agent.yaml`);
  expect(safe.code).toBe(1);
  expect(JSON.parse(safe.stdout)).toMatchObject({ outputs: [{ output: 'lock', fault: { code: 'gpio_line_busy' } }] });
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(0);
});

test('a chip that is pulled out is told at once, and everything goes on when it is back', async () => {
  await kiosk.gpio.removeChip(chip);
  const gone = await stateWith(({ readings: { door } }) => door?.reason === 'unplugged');
  expect(gone.readings).toMatchObject({ meter: { value: null, quality: 'bad', reason: 'unplugged' } });
  await stateWith(({ outputs: { lock } }) => lock?.fault !== null && lock?.actual === null);
  chip = await kiosk.gpio.addChip('panel', LINES);
  const back = await stateWith(
    ({ readings: { meter }, outputs: { lock } }) => meter?.value !== null && lock?.actual === false,
  );
  expect(back.readings.meter).toMatchObject({ value: 13_000, quality: 'suspect', reason: 'edges-lost', gaps: 1 });
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(0);
});

test('after an exit and after a kill the line is what its driver makes of it, and outputs safe can have it', async () => {
  await kiosk.gpio.setPin(chip, 4, 'up');
  await kiosk.succeed(`kill -9 $(cat ${STATE}/pid)`);
  await ended;
  // gpio-sim lets it fall back to its resistor, as some chips do.
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(1);
  const safe = await kiosk.run(`${program('paddock-agent.cjs')} outputs safe --json --config ${STATE}/agent.yaml`);
  expect(safe).toMatchObject({ code: 0, stdout: expect.stringContaining('"fault":null') as unknown });
  await kiosk.gpio.setPin(chip, 4, 'down');
  ended = startProgram();
  await stateWith(({ outputs: { lock } }) => lock?.actual === true);
  await kiosk.succeed(`kill $(cat ${STATE}/pid)`);
  expect(await ended).toMatchObject({ code: 0 });
  expect(await kiosk.gpio.readPin(chip, 4)).toBe(0);
});
