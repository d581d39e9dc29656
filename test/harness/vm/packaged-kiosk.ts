import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAgentPackage } from '../agent-package.ts';
import { claimFile } from '../agent/claimed.ts';
import { startCloudProcess, type CloudProcess } from '../cloud-process.ts';
import { bootKiosk, type Kiosk } from './kiosk.ts';

export const MODEL = 'kiosk-vm';
const SERIAL = 'VM-0001';
const TALK_MS = 1_000;
/** Lines of the board's GPIO chip, by their number. */
export const PINS = ['DOOR', 'METER', 'LOCK'] as const;

const CONFIGURATION = `
dataDir: /var/lib/paddock/agent
cloud: { claim: claim.jwt }
report: { schedule: '*/5 * * * * *', jitterSeconds: 0 }
firmware: { slots: /var/lib/paddock/slots }
ports:
  panel: { kind: serial-lines, path: /dev/ttyS1, baudRate: 9600, patterns: ['^LID=(?<lid>open|closed)$'] }
  reader: { kind: serial-lines, path: /dev/ttyUSB0, baudRate: 9600, patterns: ['^T=(?<heat>-?[0-9]+)$'] }
  board: { kind: gpio, chip: board }
sensors:
  lid: { kind: binary, urgent: true, source: { port: panel, field: lid, on: open } }
  heat: { kind: number, source: { port: reader, field: heat } }
  door: { kind: binary, urgent: true, source: { port: board, line: DOOR } }
  meter: { kind: number, source: { port: board, line: METER, edge: rising } }
outputs:
  lock: { kind: binary, safe: false, target: { port: board, line: LOCK } }
`;

/** A start of the agent, as the cloud tells of it. */
export interface Start {
  readonly start: number;
  readonly bootId: string;
  readonly began: {
    readonly agent: { readonly reason: string; readonly detail: string | null };
    readonly machine: { readonly reason: string } | null;
  } | null;
}

/** A virtual kiosk that has the agent from its Debian package, and the cloud that it belongs to. */
export class PackagedKiosk {
  readonly kiosk: Kiosk;
  readonly cloud: CloudProcess;
  /** What the package is made into and read from. */
  readonly folder: string;
  device = '';
  /** What is at its lines, and says so for ever. */
  readonly around = { lid: 'open', heat: 21 };
  readonly #talk: NodeJS.Timeout;

  private constructor(kiosk: Kiosk, cloud: CloudProcess, folder: string) {
    [this.kiosk, this.cloud, this.folder] = [kiosk, cloud, folder];
    this.#talk = setInterval(() => {
      void kiosk.uarts[0].write(`LID=${this.around.lid}\n`);
      void kiosk.usb.line.write(`T=${this.around.heat}\n`);
    }, TALK_MS);
  }

  /** Nothing is installed yet. */
  static async unpack(): Promise<PackagedKiosk> {
    const folder = await mkdtemp(join(tmpdir(), 'paddock-packaged-'));
    const [built, cloud, kiosk] = await Promise.all([
      buildAgentPackage(folder, '0.1.0'),
      // By the name that the guest has for this machine.
      startCloudProcess({ PADDOCK_PUBLIC_HOSTS: 'host' }),
      bootKiosk({ shares: { factory: folder }, diskMiB: 768 }),
    ]);
    await rename(built, join(folder, 'agent.deb'));
    await cloud.call('POST', '/models', { modelId: MODEL, manufacturer: 'Paddock', family: 'Kiosks', name: MODEL });
    await claimFile(cloud, folder, SERIAL, MODEL);
    return new PackagedKiosk(kiosk, cloud, folder);
  }

  /** As somebody in the factory does it. */
  async install(): Promise<void> {
    await this.kiosk.gpio.solderChip('board', PINS);
    await this.kiosk.succeed(`
      set -e
      modprobe -a 9pnet_virtio 9p
      mount -m -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro factory /mnt/factory
      dpkg --install --force-unsafe-io /mnt/factory/agent.deb
      paddock-agent-setup --claim /mnt/factory/claim.jwt`);
    await this.kiosk.writeFile('/etc/paddock/agent.yaml', CONFIGURATION);
    // As a board with memory of its own for it has it built in.
    await this.kiosk.succeed('echo ramoops > /etc/modules-load.d/ramoops.conf; sync');
  }

  /** What the API has of the device. @param path behind the device's own */
  async shown<Body>(path = ''): Promise<Body> {
    return (await this.cloud.call('GET', `/devices/${this.device}${path}`)).body as Body;
  }

  /** Newest first. */
  async starts(): Promise<readonly Start[]> {
    return (await this.shown<{ items?: readonly Start[] }>('/starts')).items ?? [];
  }

  async close(): Promise<void> {
    clearInterval(this.#talk);
    await this.kiosk.close();
    await this.cloud.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
