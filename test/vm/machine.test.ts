import { once } from 'node:events';
import { createServer } from 'node:http';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { FarEnd } from '../harness/vm/far-end.ts';
import { bootKiosk, type Kiosk } from '../harness/vm/kiosk.ts';
import { CAN_BOOT, needsMachine } from '../harness/vm/needs-machine.ts';

const LONG = { timeout: 120_000, interval: 100 };

let kiosk: Kiosk;
beforeAll(async () => {
  if (CAN_BOOT) kiosk = await bootKiosk({ init: 'bare' });
});
afterAll(async () => kiosk?.close());
beforeEach(needsMachine);

test('runs commands, and says how they ended and what they printed', async () => {
  expect(await kiosk.run('echo "two  words"; echo no >&2; exit 3')).toEqual({
    code: 3,
    stdout: 'two  words\n',
    stderr: 'no\n',
  });
});

test('runs commands side by side', async () => {
  const slow = kiosk.run('until [ -e /tmp/go ]; do sleep 0.05; done; echo went');
  expect(await kiosk.run('touch /tmp/go')).toMatchObject({ code: 0 });
  expect(await slow).toMatchObject({ code: 0, stdout: 'went\n' });
});

test('a pin that the test draws is what the character device reads', async () => {
  const chip = await kiosk.gpio.addChip('inputs', ['door', 'button']);
  expect(await kiosk.succeed('gpiofind button')).toBe(`${chip.name} 1\n`);
  await kiosk.gpio.setPin(chip, 1, 'up');
  expect(await kiosk.succeed(`gpioget ${chip.name} 0 1`)).toBe('0 1\n');
  await kiosk.gpio.setPin(chip, 1, 'down');
  expect(await kiosk.succeed(`gpioget ${chip.name} 0 1`)).toBe('0 0\n');
});

test('a pin that the kiosk drives is what the test reads, and falls back when nobody holds it', async () => {
  const chip = await kiosk.gpio.addChip('outputs', 1);
  const driving = kiosk.run(`gpioset --mode=signal ${chip.name} 0=1`);
  await vi.waitUntil(async () => (await kiosk.gpio.readPin(chip, 0)) === 1, LONG);
  await kiosk.succeed('pkill gpioset');
  await driving;
  expect(await kiosk.gpio.readPin(chip, 0)).toBe(0);
});

test('a chip that is taken away is gone, and comes back', async () => {
  const chip = await kiosk.gpio.addChip('loose', 2);
  await kiosk.gpio.removeChip(chip);
  expect(await kiosk.succeed('gpiodetect')).not.toContain('[loose]');
  await kiosk.gpio.addChip('loose', 2);
  expect(await kiosk.succeed('gpiodetect')).toContain('[loose] (2 lines)');
});

test.each([
  [0, 'ttyS1'],
  [1, 'ttyS2'],
] as const)('UART %i is wired to %s', async (at, device) => {
  await expect(echoes(kiosk.uarts[at], device)).resolves.toBeUndefined();
});

test('a USB adapter is a serial line while it is plugged in', async () => {
  await kiosk.usb.plug();
  await kiosk.succeed('modprobe -a xhci_pci ftdi_sio; until [ -e /dev/ttyUSB0 ]; do sleep 0.1; done');
  await echoes(kiosk.usb.line, 'ttyUSB0');

  const reading = kiosk.run('cat /dev/ttyUSB0; echo hung up');
  await kiosk.succeed('until fuser -s /dev/ttyUSB0 || pgrep -x cat; do sleep 0.1; done');
  await kiosk.usb.unplug();
  expect(await reading).toMatchObject({ stdout: 'hung up\n' });
  await kiosk.succeed('while [ -e /dev/ttyUSB0 ]; do sleep 0.1; done');

  await kiosk.usb.plug();
  await kiosk.succeed('until [ -e /dev/ttyUSB0 ]; do sleep 0.1; done');
  await echoes(kiosk.usb.line, 'ttyUSB0');
});

test('reaches what listens on loopback of this machine', async () => {
  const server = createServer((_, response) => response.end('here')).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No TCP address');
  const asked = `exec 3<>/dev/tcp/host/${address.port}; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3`;
  expect(await kiosk.succeed(asked)).toBe('here');
});

test('reads directories of this machine that it is given', async () => {
  const given = await bootKiosk({ init: 'bare', shares: { here: import.meta.dirname } });
  onTestFinished(async () => given.close());
  await given.succeed('mkdir /tmp/here; mount -t 9p -o ro,trans=virtio here /tmp/here');
  expect(await given.succeed('ls /tmp/here')).toContain('machine.test.ts\n');
});

/** Somebody on the line who repeats what is said. */
async function echoes(line: FarEnd, device: string): Promise<void> {
  await kiosk.succeed(`stty -F /dev/${device} raw -echo 115200`);
  const word = `${device}-${Math.random()}`;
  let heard = '';
  line.onData((chunk) => void (heard += Buffer.from(chunk).toString()));
  const answered = kiosk.succeed(`exec 3<>/dev/${device}; echo ${word} >&3; head -n 1 <&3`);
  await vi.waitUntil(() => heard.includes(`${word}\n`), LONG);
  await line.write(`${word} to you\n`);
  expect(await answered).toBe(`${word} to you\n`);
}
