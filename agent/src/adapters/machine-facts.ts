import type { Systeminformation } from 'systeminformation';
import type { ComponentKind } from '@paddock/shared/inventory.ts';
import type { Findings, FoundPart } from '../ports.ts';
import { serialPorts, usbDevices } from './machine-facts-sysfs.ts';

/** How long one call may take: some of them wait for hardware that does not answer. */
const CALL_WITHIN_MS = 20_000;
const MIB = 1_048_576;

/** The calls that are made of it. */
export interface Library {
  system(): Promise<Systeminformation.SystemData>;
  chassis(): Promise<Systeminformation.ChassisData>;
  baseboard(): Promise<Systeminformation.BaseboardData>;
  bios(): Promise<Systeminformation.BiosData>;
  cpu(): Promise<Systeminformation.CpuData>;
  memLayout(): Promise<Systeminformation.MemLayoutData[]>;
  diskLayout(): Promise<Systeminformation.DiskLayoutData[]>;
  networkInterfaces(): Promise<Systeminformation.NetworkInterfacesData | Systeminformation.NetworkInterfacesData[]>;
  osInfo(): Promise<Systeminformation.OsData>;
}

/** One row a kind: what is asked for it. What changes all the time, such as free memory or a link's state, is left out. */
const LOOKS: Readonly<Partial<Record<ComponentKind, (library: Library) => Promise<readonly FoundPart[]>>>> = {
  system: async (library) => [systemOf(await library.system())],
  chassis: async (library) => [chassisOf(await library.chassis())],
  board: async (library) => [boardOf(await library.baseboard())],
  firmware: async (library) => [firmwareOf(await library.bios())],
  processor: async (library) => [processorOf(await library.cpu())],
  memory: async (library) => (await library.memLayout()).map(memoryOf),
  disk: async (library) => (await library.diskLayout()).map(diskOf),
  network: async (library) => [await library.networkInterfaces()].flat().filter(isCard).map(networkOf),
  usb: () => usbDevices(),
  serial: () => serialPorts(),
  'operating-system': async (library) => [operatingSystemOf(await library.osInfo())],
};

/**
 * Looks at the machine through systeminformation's single calls, one after the other, and through sysfs. It runs some
 * twenty programs and takes 14 MiB that are never given back: for a process that ends.
 * @param given another library than systeminformation
 */
export async function findMachine(given?: Library): Promise<Findings> {
  const library = given ?? (await import('systeminformation')).default;
  const parts: FoundPart[] = [];
  const unseen: ComponentKind[] = [];
  const notes: string[] = [];
  for (const [kind, look] of Object.entries(LOOKS) as [ComponentKind, (library: Library) => Promise<FoundPart[]>][]) {
    try {
      parts.push(...(await inTime(look(library))));
    } catch (cause) {
      unseen.push(kind);
      notes.push(`${kind}: ${cause instanceof Error ? cause.message : String(cause)}`);
    }
  }
  return { parts: parts.filter(saysSomething), unseen, notes };
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('it took too long')), CALL_WITHIN_MS);
  return Promise.race([work, promise]).finally(() => clearTimeout(timer));
}

/** The library makes an empty thing of what it cannot tell. */
const saysSomething = ({ kind: _, name: __, properties = {}, ...texts }: FoundPart): boolean =>
  [...Object.values(texts), ...Object.values(properties)].some(
    (value) => value !== undefined && value !== null && value !== '',
  );

const systemOf = ({ manufacturer, model, version, serial, sku }: Systeminformation.SystemData): FoundPart => ({
  kind: 'system',
  name: 'system',
  manufacturer,
  model,
  version,
  serialNumber: serial,
  properties: { sku: sku === '-' ? null : sku },
});

const chassisOf = ({
  manufacturer,
  model,
  version,
  serial,
  assetTag,
  type,
}: Systeminformation.ChassisData): FoundPart => ({
  kind: 'chassis',
  name: 'chassis',
  manufacturer,
  model,
  version,
  serialNumber: serial,
  properties: { assetTag, type },
});

const boardOf = ({ manufacturer, model, version, serial, assetTag }: Systeminformation.BaseboardData): FoundPart => ({
  kind: 'board',
  name: 'board',
  manufacturer,
  model,
  version,
  serialNumber: serial,
  properties: { assetTag },
});

const firmwareOf = ({ vendor, version, releaseDate, revision }: Systeminformation.BiosData): FoundPart => ({
  kind: 'firmware',
  name: 'bios',
  manufacturer: vendor,
  version,
  properties: { releaseDate, revision },
});

const processorOf = (cpu: Systeminformation.CpuData): FoundPart => ({
  kind: 'processor',
  name: 'cpu',
  manufacturer: cpu.manufacturer,
  model: cpu.brand,
  properties: {
    family: cpu.family,
    model: cpu.model,
    stepping: cpu.stepping,
    cores: cpu.cores,
    processors: cpu.processors,
    socket: cpu.socket,
  },
});

const memoryOf = (memory: Systeminformation.MemLayoutData, at: number): FoundPart => ({
  kind: 'memory',
  name: memory.bank || `memory ${at}`,
  manufacturer: memory.manufacturer ?? null,
  model: memory.partNum,
  serialNumber: memory.serialNum,
  properties: { sizeMiB: Math.round(memory.size / MIB), type: memory.type, formFactor: memory.formFactor },
});

const diskOf = (disk: Systeminformation.DiskLayoutData): FoundPart => ({
  kind: 'disk',
  name: disk.device.replace('/dev/', ''),
  manufacturer: disk.vendor,
  model: disk.name,
  serialNumber: disk.serialNum,
  version: disk.firmwareRevision,
  properties: { sizeMiB: Math.round(disk.size / MIB), type: disk.type, interface: disk.interfaceType },
});

/** A card has an address of its own: bridges, tunnels and loopback are no hardware. */
const isCard = ({ internal, virtual, mac, type }: Systeminformation.NetworkInterfacesData): boolean =>
  !internal && !virtual && type !== 'virtual' && /[1-9a-f]/i.test(mac);

/** The second bit of the first byte (IEEE 802, section 8.2): given on the spot and not by the maker, so it names nothing. */
const isLocal = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 0b10) !== 0;

const networkOf = ({ iface, mac, type }: Systeminformation.NetworkInterfacesData): FoundPart => ({
  kind: 'network',
  name: iface,
  serialNumber: isLocal(mac) ? null : mac.toLowerCase(),
  properties: { mac: mac.toLowerCase(), type },
});

const operatingSystemOf = (os: Systeminformation.OsData): FoundPart => ({
  kind: 'operating-system',
  name: os.platform,
  manufacturer: os.distro,
  version: os.release,
  properties: { kernel: os.kernel, architecture: os.arch, hostname: os.hostname, build: os.build, uefi: os.uefi },
});
