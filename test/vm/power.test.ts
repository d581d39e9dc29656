import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { bootKiosk, type Kiosk } from '../harness/vm/kiosk.ts';
import { needsMachine } from '../harness/vm/needs-machine.ts';

/** The end of the disk belongs to no file system. */
const LAST_BLOCK = (512 * 1_048_576) / 4096 - 1;
const writeBlock = (text: string, options: string): string =>
  `printf '%-4096s' '${text}' > /tmp/block; dd if=/tmp/block of=/dev/vdb bs=4096 seek=${LAST_BLOCK} ${options}`;
const readBlock = `dd if=/dev/vdb bs=4096 skip=${LAST_BLOCK} iflag=direct | tr -d ' \\0'`;

beforeEach(needsMachine);

async function booted(): Promise<Kiosk> {
  const kiosk = await bootKiosk({ init: 'bare' });
  onTestFinished(async () => kiosk.close());
  return kiosk;
}

test('a power cut keeps what was synced and loses what was only in memory, and the next boot works', async () => {
  const kiosk = await booted();
  // The kernel would write by itself, sooner or later.
  await kiosk.succeed('echo 0 > /proc/sys/vm/dirty_writeback_centisecs');
  await kiosk.succeed('echo kept > /root/synced; sync /root/synced /root; echo lost > /root/unsynced');
  await kiosk.cutPower();
  await expect(kiosk.run('true')).rejects.toThrow('The kiosk is off');
  await kiosk.powerOn();
  expect(await kiosk.succeed('cat /root/synced; cat /root/unsynced 2>/dev/null || true')).toBe('kept\n');
});

test('a power cut loses what the disk was not told to flush, unless it happened to survive', async () => {
  const kiosk = await booted();
  await kiosk.succeed(`sync; ${writeBlock('flushed', 'oflag=direct conv=fsync')}`);
  await kiosk.succeed(writeBlock('unflushed', 'oflag=direct'));
  await kiosk.cutPower();
  await kiosk.powerOn();
  expect(await kiosk.succeed(readBlock)).toBe('flushed');
  await kiosk.succeed(writeBlock('survivor', 'oflag=direct'));
  await kiosk.cutPower(() => true);
  await kiosk.powerOn();
  expect(await kiosk.succeed(readBlock)).toBe('survivor');
});

test('who waits for an answer when the power is cut is told', async () => {
  const kiosk = await booted();
  const waiting = kiosk.run('sleep 1000');
  const [told] = await Promise.allSettled([waiting, kiosk.cutPower()]);
  expect(told).toMatchObject({ status: 'rejected', reason: { message: expect.stringContaining('The kiosk is off') } });
});

test('one that did not answer is not asked again', async () => {
  const kiosk = await booted();
  await expect(kiosk.run('sleep 1000', 500)).rejects.toThrow('No answer to sleep 1000');
  await expect(kiosk.run('true')).rejects.toThrow('The kiosk was lost before');
  expect(() => kiosk.requireAnswers()).toThrow('The kiosk was lost before');
});

test('a hardware watchdog that nobody feeds starts the kiosk anew', async () => {
  const kiosk = await booted();
  const before = await kiosk.succeed('cat /proc/sys/kernel/random/boot_id');
  const after = await kiosk.rebooted('modprobe i6300esb heartbeat=2; echo > /dev/watchdog');
  expect(after).not.toBe(before.trim());
  expect(await kiosk.succeed('cat /proc/sys/kernel/random/boot_id')).toBe(`${after}\n`);
});

test('a panic of the kernel starts the kiosk anew, which finds it told of', async () => {
  const kiosk = await booted();
  await kiosk.succeed('modprobe ramoops');
  await kiosk.rebooted('echo c > /proc/sysrq-trigger');
  expect(await kiosk.succeed('modprobe ramoops; cat /sys/fs/pstore/dmesg-ramoops-0')).toContain('Panic#1');
});
