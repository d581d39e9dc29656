import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { FoundPart } from '../ports.ts';

const USB = '/sys/bus/usb/devices';
const TTY = '/sys/class/tty';
/** A hub of the machine's own: it says only that there is a bus. */
const ROOT_HUB = /^usb\d+$/;

/**
 * What hangs on the USB, by the port that it is plugged into (Documentation/ABI/stable/sysfs-bus-usb): no program is
 * needed for it, which a kiosk may not have.
 * @param root where the kernel tells of it
 */
export async function usbDevices(root = USB): Promise<FoundPart[]> {
  // Interfaces of devices have a colon.
  const ports = (await listed(root)).filter((name) => !name.includes(':') && !ROOT_HUB.test(name));
  return Promise.all(ports.map((port) => usbDevice(join(root, port), port)));
}

async function usbDevice(directory: string, port: string): Promise<FoundPart> {
  const [manufacturer, model, serialNumber, version, vendor, product] = await Promise.all(
    ['manufacturer', 'product', 'serial', 'bcdDevice', 'idVendor', 'idProduct'].map((file) => text(directory, file)),
  );
  return {
    kind: 'usb',
    name: port,
    manufacturer,
    model,
    serialNumber,
    version,
    properties: { id: `${vendor}:${product}` },
  };
}

/**
 * Serial ports behind which there is hardware. The kernel keeps names for ports that nobody built in: their type is 0
 * (PORT_UNKNOWN).
 */
export async function serialPorts(root = TTY): Promise<FoundPart[]> {
  const names = await listed(root);
  const found = await Promise.all(names.map((name) => serialPort(join(root, name), name)));
  return found.filter((part) => part !== null);
}

async function serialPort(directory: string, name: string): Promise<FoundPart | null> {
  const driver = await readlink(join(directory, 'device/driver')).catch(() => null);
  if (driver === null || (await text(directory, 'type')) === '0') return null;
  return { kind: 'serial', name, properties: { driver: basename(driver) } };
}

/** A kernel without such a bus has no such devices. What else goes wrong is a failure. */
async function listed(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).toSorted();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return [];
    throw cause;
  }
}

const text = (directory: string, file: string): Promise<string | null> =>
  readFile(join(directory, file), 'utf8').then(
    (content) => content.trim(),
    () => null,
  );
