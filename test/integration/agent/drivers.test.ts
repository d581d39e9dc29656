import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSystemClock } from '@paddock/agent/adapters/system-clock.ts';
import { readConfig } from '@paddock/agent/config.ts';
import { createSensing, type Sensing } from '@paddock/agent/sensing.ts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const WITHIN = { timeout: 30_000, interval: 20 };
const EXAMPLE = join(import.meta.dirname, '../../../agent/drivers-example/one-wire.mjs');

let home: string;
let sensing: Sensing | null = null;
let events: { name: string; data: unknown }[] = [];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'paddock-drivers-'));
  events = [];
});
afterEach(async () => {
  await sensing?.close();
  sensing = null;
  await rm(home, { recursive: true, force: true });
});

/** A driver that does what a test says when it is opened, beside a port that has nothing to do with it. */
async function start(body: string, options = '{}', more = ''): Promise<string> {
  const file = join(home, 'driver.mjs');
  await writeFile(
    file,
    `export const contract = 1; export const parse = (options) => options; ${more}
    export async function open(settings, port) { ${body} }`,
  );
  run(file, options);
  return file;
}

function run(driver: string, options = '{}', channel = 'x'): void {
  const yaml = `device: kiosk-0001
cloud: { url: mqtt://127.0.0.1:1 }
ports:
  plugged: { kind: driver, driver: ${driver}, options: ${options} }
  bench: { kind: simulated, pollMs: 20 }
sensors:
  one: { kind: number, source: { port: plugged, channel: ${channel} } }
  other: { kind: number, maxAgeMs: 500, source: { port: bench, wave: constant } }
events: { pressed: { source: { port: plugged } } }
`;
  sensing = createSensing(readConfig(yaml, join(home, 'agent.yaml')), createSystemClock());
  sensing.open({ urgent() {}, event: (name, data) => events.push({ name, data }) });
}

const one = () => sensing?.readings()['one'];
const port = () => sensing?.ports().find(({ name }) => name === 'plugged');
async function fails(code: string): Promise<void> {
  await expect.poll(() => port()?.code, WITHIN).toBe(code);
  expect(one()).toMatchObject({ value: null, quality: 'bad', reason: 'driver-failed' });
  expect(sensing?.readings()['other']).toMatchObject({ value: 1 });
}

describe('a plug-in driver', () => {
  it('that is shipped as an example reads thermometers', async () => {
    const thermometer = join(home, 'w1', '28-01');
    await mkdir(thermometer, { recursive: true });
    const at = (text: string) => writeFile(join(thermometer, 'w1_slave'), text);
    await at('57 01 : crc=4a YES\n57 01 t=21437\n');
    run(EXAMPLE, `{ directory: ${join(home, 'w1')}, everyMs: 100 }`, '28-01');
    await expect.poll(() => one()?.value, WITHIN).toBe(21.437);
    await at('57 01 : crc=4a NO\n57 01 t=21437\n');
    await expect.poll(() => one()?.reason, WITHIN).toBe('checksum');
    await rm(thermometer, { recursive: true });
    await expect.poll(() => one()?.reason, WITHIN).toBe('unplugged');
    expect(port()).toMatchObject({ state: 'open' });
  });

  it('has its options refused by itself', async () => {
    run(EXAMPLE, '{ everyMs: 1 }');
    await fails('driver_options_invalid');
    expect(port()?.detail).toBe('The driver refuses its options: everyMs must be 100 or more');
  });

  it('tells values and events, of its own sensors and events alone, and nothing that is no value', async () => {
    await start(`const words = ['5', { a: 1 }, 7];
      port.sample('other', 99); port.event('pressed', { button: 2 }); port.event('strange');
      setInterval(() => words.length && port.sample('one', words.shift()), 100);`);
    await expect.poll(() => one()?.value, WITHIN).toBe(5);
    await expect.poll(() => one()?.reason, WITHIN).toBe('malformed');
    await expect.poll(() => one()?.value, WITHIN).toBe(7);
    expect(events).toEqual([{ name: 'pressed', data: { button: 2 } }]);
    expect(sensing?.readings()['other']).toMatchObject({ value: 1 });
  });

  it.each([
    ['driver_threw', 'throws when it opens', `throw new Error('no');`],
    ['driver_threw', 'throws later', `setTimeout(() => { throw new Error('no'); }, 50);`],
    ['driver_threw', 'leaves a rejection behind', `setTimeout(() => Promise.reject(new Error('no')), 50);`],
    ['driver_threw', 'ends its thread', `setTimeout(() => process.exit(3), 50);`],
    [
      'driver_threw',
      'eats memory',
      `const all = []; setInterval(() => { for (let i = 0; i < 2e5; i++) all.push({ i }); });`,
    ],
    ['driver_hung', 'stands still when it reads', `setTimeout(() => { for (;;); }, 50);`],
  ])('is %s when it %s, and hurts nothing else', async (code, _what, body) => {
    await start(body);
    await fails(code);
    expect(port()?.faults).toHaveProperty('driver-failed');
  });

  it('goes on when it can again', async () => {
    const marker = join(home, 'well');
    await start(`const { existsSync } = await import('node:fs');
      if (!existsSync(${JSON.stringify(marker)})) return port.lost('unplugged');
      port.sample('one', 3); return { close() {} };`);
    await expect.poll(() => port()?.code, WITHIN).toBe('driver_lost');
    expect(one()).toMatchObject({ value: null, reason: 'unplugged' });
    await writeFile(marker, '');
    await expect.poll(() => one()?.value, WITHIN).toBe(3);
  });

  it('of another contract, that is missing, or no module is refused', async () => {
    const file = join(home, 'driver.mjs');
    await writeFile(file, 'export const contract = 2; export const parse = () => {}; export const open = () => {};');
    run(file);
    await fails('driver_contract');
    await sensing?.close();
    await writeFile(file, 'export const contract = ;');
    run(file);
    await fails('driver_threw');
    await sensing?.close();
    run(join(home, 'none.mjs'));
    await fails('driver_missing');
    expect(port()?.detail).toContain('none.mjs');
  });

  it('that others may change, or put another one in its place, is never run', async () => {
    const ran = join(home, 'ran');
    const file = join(home, 'driver.mjs');
    await writeFile(file, `import { writeFileSync } from 'node:fs'; writeFileSync(${JSON.stringify(ran)}, '');`);
    await chmod(file, 0o646);
    run(file);
    await fails('driver_unsafe');
    await sensing?.close();
    await chmod(file, 0o644);
    await chmod(home, 0o777);
    run(file);
    await fails('driver_unsafe');
    expect(port()?.detail).toContain(`${home} may be written by everybody`);
    const { existsSync } = await import('node:fs');
    expect(existsSync(ran)).toBe(false);
  });
});
