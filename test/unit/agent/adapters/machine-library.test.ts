import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { findMachine, type Library } from '@paddock/agent/adapters/machine-facts.ts';

/** What a call tells. */
type Told<Call extends keyof Library> = Awaited<ReturnType<Library[Call]>>;

const GIB = 2 ** 30;

const MEMORY = {
  size: 8 * GIB,
  bank: 'BANK 0',
  type: 'DDR4',
  ecc: false,
  clockSpeed: 2400,
  formFactor: 'SODIMM',
  manufacturer: 'Samsung',
  partNum: 'M471A1K43',
  serialNum: '4F0A',
  voltageConfigured: 1.2,
  voltageMin: 1.2,
  voltageMax: 1.2,
} satisfies Told<'memLayout'>[number];

const DISK = {
  device: '/dev/nvme0n1',
  type: 'NVMe',
  name: 'SSD 970',
  vendor: 'Samsung',
  size: 256 * GIB,
  bytesPerSector: 512,
  totalCylinders: 0,
  totalHeads: 0,
  totalSectors: 0,
  totalTracks: 0,
  tracksPerCylinder: 0,
  sectorsPerTrack: 0,
  firmwareRevision: '2B2Q',
  serialNum: 'S466',
  interfaceType: 'PCIe',
  smartStatus: 'Ok',
  temperature: 41,
} satisfies Told<'diskLayout'>[number];

const CARD = {
  iface: 'eth0',
  ifaceName: 'eth0',
  default: true,
  ip4: '192.0.2.7',
  ip4subnet: '255.255.255.0',
  ip6: '',
  ip6subnet: '',
  mac: 'B8:27:EB:00:12:34',
  internal: false,
  virtual: false,
  operstate: 'up',
  type: 'wired',
  duplex: 'full',
  mtu: 1500,
  speed: 1000,
  dhcp: true,
  dnsSuffix: '',
  ieee8021xAuth: '',
  ieee8021xState: '',
  carrierChanges: 3,
} satisfies Told<'networkInterfaces'>;

const nothing = async (): Promise<never> => {
  throw new Error('not asked for here');
};
/** A library that knows this much and fails at the rest. */
const knowing = (calls: Partial<Library>): Library => ({
  system: nothing,
  chassis: nothing,
  baseboard: nothing,
  bios: nothing,
  cpu: nothing,
  memLayout: nothing,
  diskLayout: nothing,
  networkInterfaces: nothing,
  osInfo: nothing,
  ...calls,
});

const found = async (kind: string, calls: Partial<Library>) =>
  (await findMachine(knowing(calls))).parts.filter((part) => part.kind === kind);

describe('what the library says of a machine', () => {
  test('becomes modules of memory, by their banks or in their order, with whole MiB', async () => {
    const memLayout = async () => [MEMORY, { ...MEMORY, bank: '', serialNum: '4F0B', size: 1.5 * 2 ** 20 }];
    const one = {
      kind: 'memory',
      name: 'BANK 0',
      manufacturer: 'Samsung',
      model: 'M471A1K43',
      serialNumber: '4F0A',
      properties: { sizeMiB: 8_192, type: 'DDR4', formFactor: 'SODIMM' },
    };
    const other = { ...one, name: 'memory 1', serialNumber: '4F0B', properties: { ...one.properties, sizeMiB: 2 } };
    expect(await found('memory', { memLayout })).toEqual([one, other]);
  });

  test('becomes disks, without what changes by itself', async () => {
    expect(await found('disk', { diskLayout: async () => [DISK] })).toEqual([
      {
        kind: 'disk',
        name: 'nvme0n1',
        manufacturer: 'Samsung',
        model: 'SSD 970',
        serialNumber: 'S466',
        version: '2B2Q',
        properties: { sizeMiB: 262_144, type: 'NVMe', interface: 'PCIe' },
      },
    ]);
  });

  test('becomes network cards, named by the address that their maker gave them', async () => {
    expect(await found('network', { networkInterfaces: async () => [CARD] })).toEqual([
      {
        kind: 'network',
        name: 'eth0',
        serialNumber: 'b8:27:eb:00:12:34',
        properties: { mac: 'b8:27:eb:00:12:34', type: 'wired' },
      },
    ]);
    // Of a single card the library makes no list.
    expect(await found('network', { networkInterfaces: async () => CARD })).toHaveLength(1);
  });

  test.each([
    ['02:42:ac:11:00:02', null],
    ['ba:27:eb:00:12:34', null],
    ['B6:27:EB:00:12:34', null],
    ['01:27:eb:00:12:34', '01:27:eb:00:12:34'],
    ['b8:27:eb:00:12:34', 'b8:27:eb:00:12:34'],
  ])('names a card with the address %s by it only when it is not given on the spot: %s', async (mac, serialNumber) => {
    const [card] = await found('network', { networkInterfaces: async () => [{ ...CARD, mac }] });
    expect(card).toMatchObject({ serialNumber, properties: { mac: mac.toLowerCase() } });
  });

  test.each([
    ['loopback', { internal: true }],
    ['a bridge', { virtual: true }],
    ['a tunnel', { type: 'virtual' }],
    ['one without an address', { mac: '' }],
    ['one whose address is all zeros', { mac: '00:00:00:00:00:00' }],
  ])('counts %s for no card', async (_, change) => {
    expect(await found('network', { networkInterfaces: async () => [{ ...CARD, ...change }] })).toEqual([]);
  });
});

describe('a look that fails', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  test('leaves its kind unseen with a note, and the others are told', async () => {
    const { parts, unseen, notes } = await findMachine(knowing({ diskLayout: async () => [DISK] }));
    expect(parts.map(({ kind }) => kind)).toContain('disk');
    expect(unseen).toContain('memory');
    expect(unseen).not.toContain('disk');
    expect(notes).toContain('memory: not asked for here');
  });

  test('by never answering is given up after 20 s, and not before', async () => {
    const asked = Promise.withResolvers<void>();
    const memLayout = (): Promise<never> => {
      asked.resolve();
      return new Promise(() => undefined);
    };
    let findings: Awaited<ReturnType<typeof findMachine>> | null = null;
    const finding = findMachine(knowing({ memLayout, diskLayout: async () => [DISK] })).then((all) => (findings = all));
    await asked.promise;
    await vi.advanceTimersByTimeAsync(19_999);
    expect(findings).toBeNull();
    await vi.advanceTimersByTimeAsync(1);
    const { parts, unseen, notes } = await finding;
    expect(unseen).toContain('memory');
    expect(notes).toContain('memory: it took too long');
    expect(parts.map(({ kind }) => kind)).toContain('disk');
  });
});
