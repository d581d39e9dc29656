import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { bootKiosk, type Kiosk } from '../harness/vm/kiosk.ts';

const LONG = { timeout: 120_000, interval: 100 };

let kiosk: Kiosk;
beforeAll(async () => void (kiosk = await bootKiosk({ init: 'bare' })));
afterAll(async () => kiosk?.close());

test('runs commands, and says how they ended and what they printed', async () => {
  expect(await kiosk.run('echo "two  words"; echo "$0" >&2; exit 3')).toEqual({
    code: 3,
    stdout: 'two  words\n',
    stderr: expect.stringMatching(/\S\n/),
  });
});

test('runs commands side by side', async () => {
  const slow = kiosk.run('until [ -e /tmp/go ]; do sleep 0.05; done; echo went');
  expect(await kiosk.run('touch /tmp/go')).toMatchObject({ code: 0 });
  expect(await slow).toMatchObject({ code: 0, stdout: 'went\n' });
});

test('a pin that the test draws is what the character device reads', async () => {
  const chip = await kiosk.gpio.addChip('inputs', ['door', 'button']);
  expect(await kiosk.succeed(`gpiofind button`)).toBe(`${chip.name} 1\n`);
  await kiosk.gpio.setPin(chip, 1, 'up');
  expect(await kiosk.succeed(`gpioget ${chip.name} 0 1`)).toBe('0 1\n');
  await kiosk.gpio.setPin(chip, 1, 'down');
  expect(await kiosk.succeed(`gpioget ${chip.name} 0 1`)).toBe('0 0\n');
});

test('a pin that the kiosk drives is what the test reads, and falls back when nobody holds it', async () => {
  const chip = await kiosk.gpio.addChip('outputs', 1);
  const driving = kiosk.run(`timeout 600 gpioset --mode=signal ${chip.name} 0=1`);
  await vi.waitUntil(async () => (await kiosk.gpio.readPin(chip, 0)) === 1, LONG);
  await kiosk.run('pkill gpioset');
  await driving;
  expect(await kiosk.gpio.readPin(chip, 0)).toBe(0);
});
