import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { serialPorts, usbDevices } from '@paddock/agent/adapters/machine-facts-sysfs.ts';

let root: string;
beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), 'paddock-sysfs-'))));
afterEach(() => rm(root, { recursive: true }));

/** A directory of the kernel's, with its files. */
async function tell(name: string, files: Readonly<Record<string, string>>): Promise<void> {
  await mkdir(join(root, name), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(root, name, file), text);
}

test('USB devices are told by the port that they are plugged into', async () => {
  await tell('usb1', { idVendor: '1d6b\n', idProduct: '0002\n', product: 'Root hub\n' });
  await tell('1-1.2', {
    idVendor: '0403\n',
    idProduct: '6001\n',
    product: 'Reader\n',
    serial: 'A50285BI\n',
    bcdDevice: '0600\n',
  });
  await tell('1-1.2:1.0', { bInterfaceClass: 'ff\n' });
  expect(await usbDevices(root)).toEqual([
    {
      kind: 'usb',
      name: '1-1.2',
      manufacturer: null,
      model: 'Reader',
      serialNumber: 'A50285BI',
      version: '0600',
      properties: { id: '0403:6001' },
    },
  ]);
});

test('of serial ports those are told behind which there is hardware', async () => {
  await tell('ttyS0', { type: '4\n' });
  await tell('ttyS1', { type: '0\n' });
  await tell('ttyUSB0', {});
  await tell('tty0', {});
  for (const name of ['ttyS0', 'ttyS1', 'ttyUSB0']) {
    await mkdir(join(root, name, 'device'));
    await symlink(
      name === 'ttyUSB0' ? '../../drivers/ftdi_sio' : '../../drivers/serial8250',
      join(root, name, 'device/driver'),
    );
  }
  expect(await serialPorts(root)).toEqual([
    { kind: 'serial', name: 'ttyS0', properties: { driver: 'serial8250' } },
    { kind: 'serial', name: 'ttyUSB0', properties: { driver: 'ftdi_sio' } },
  ]);
});

test('a kernel without USB has no devices, and what cannot be read is a failure', async () => {
  expect(await usbDevices(join(root, 'missing'))).toEqual([]);
  await writeFile(join(root, 'file'), '');
  await expect(usbDevices(join(root, 'file'))).rejects.toThrow('ENOTDIR');
});
