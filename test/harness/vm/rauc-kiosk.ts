import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildAgentPackage } from '../agent-package.ts';
import { claimFile } from '../agent/claimed.ts';
import { startCloudProcess, type CloudProcess } from '../cloud-process.ts';
import { ReleaseDesk } from '../release-desk.ts';
import { makeBootDisk } from './boot-disk.ts';
import { Kiosk } from './kiosk.ts';
import { prepareKiosk } from './prepare.ts';
import { SlotImages } from './slot-image.ts';
import { tool } from './tools.ts';

const MODEL = 'kiosk-rauc';
const SERIAL = 'VM-0002';
const NODE = '/usr/lib/paddock/bin/node';
const PAGE = join(import.meta.dirname, '../../../docs/operations.md');

const CONFIGURATION = `
dataDir: /var/lib/paddock/agent
cloud: { claim: claim.jwt }
report: { schedule: '*/5 * * * * *', jitterSeconds: 0 }
firmware:
  rauc:
    directory: /var/lib/paddock/slots
    reboot: [systemctl, reboot]
`;

/** Of a start of the agent, as the cloud tells of it. */
export interface Began {
  readonly bootId: string;
  readonly began: { readonly machine: { readonly reason: string; readonly detail: string | null } | null } | null;
}

/** What an image has of its own, beside the agent. */
interface ImageWish {
  readonly version: number;
  /** Whether its probe finds it well. */
  readonly isWell: boolean;
}

/**
 * A virtual kiosk whose whole root is updated: GRUB starts it from one of two slots, RAUC writes the other one. All that
 * an integrator has to see to is taken from docs/operations.md.
 */
export class RaucKiosk {
  readonly kiosk: Kiosk;
  readonly cloud: CloudProcess;
  device = '';
  readonly #folder: string;
  readonly #images: SlotImages;
  readonly #desk: ReleaseDesk;

  private constructor(kiosk: Kiosk, cloud: CloudProcess, folder: string, images: SlotImages, desk: ReleaseDesk) {
    [this.kiosk, this.cloud, this.#folder, this.#images, this.#desk] = [kiosk, cloud, folder, images, desk];
  }

  /** As it leaves the factory, with the power off. */
  static async make(): Promise<RaucKiosk> {
    const folder = await mkdtemp(join(tmpdir(), 'paddock-rauc-kiosk-'));
    const parts = await prepareKiosk();
    const [built, cloud] = await Promise.all([
      buildAgentPackage(folder, '0.1.0'),
      // By the name that the guest has for this machine.
      startCloudProcess({ PADDOCK_PUBLIC_HOSTS: 'host' }),
    ]);
    const deb = join(folder, 'agent.deb');
    await rename(built, deb);
    await cloud.call('POST', '/models', { modelId: MODEL, manufacturer: 'Paddock', family: 'Kiosks', name: MODEL });
    await claimFile(cloud, folder, SERIAL, MODEL);
    await makeSigner(folder);
    const advice = await readAdvice();
    const images = await SlotImages.prepare(folder, {
      base: parts.base,
      deb,
      script: await integration(folder, advice),
    });
    const factory = await images.make('factory', filesOf({ version: 0, isWell: true }));
    const bootDisk = await makeBootDisk(folder, { ...parts, grub: advice.grub, factory });
    const kiosk = await Kiosk.assemble(parts, { shares: { factory: folder }, diskMiB: 768, bootDisk });
    return new RaucKiosk(kiosk, cloud, folder, images, await ReleaseDesk.open(cloud));
  }

  /** As somebody in the factory does it. */
  async setUp(): Promise<void> {
    await this.kiosk.succeed(`
      set -e
      modprobe -a 9pnet_virtio 9p
      mount -m -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose,ro factory /mnt/factory
      dpkg-deb --fsys-tarfile /mnt/factory/agent.deb | tar --extract --directory / .${NODE}
      install --owner paddock --mode 600 /mnt/factory/claim.jwt /etc/paddock/claim.jwt`);
    await this.kiosk.writeFile('/etc/paddock/agent.yaml', CONFIGURATION);
    await this.kiosk.succeed('systemctl start paddock-agent');
  }

  /** Publishes a release of a whole root for it. */
  async release({ version, isWell }: ImageWish): Promise<void> {
    return this.#publish(version, await this.#images.make(`root-${version}`, filesOf({ version, isWell })));
  }

  /** Publishes one that nothing can be started from. */
  async releaseDead(version: number): Promise<void> {
    const image = join(this.#folder, `root-${version}.img`);
    await writeFile(image, randomBytes(65_536));
    return this.#publish(version, image);
  }

  async shown<Body>(path = ''): Promise<Body> {
    return (await this.cloud.call('GET', `/devices/${this.device}${path}`)).body as Body;
  }

  /** Newest first. */
  async starts(): Promise<readonly Began[]> {
    return (await this.shown<{ items?: readonly Began[] }>('/starts')).items ?? [];
  }

  async close(): Promise<void> {
    await this.#desk.close();
    await this.kiosk.close();
    await this.cloud.stop();
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #publish(version: number, image: string): Promise<void> {
    const recipe = join(this.#folder, `release-${version}`);
    const content = join(recipe, 'content');
    await mkdir(content, { recursive: true });
    await mkdir(join(recipe, 'payload'));
    await rename(image, join(content, 'root.img'));
    await writeFile(
      join(content, 'manifest.raucm'),
      `[update]\ncompatible=demo-kiosk\nversion=${version}\n[bundle]\nformat=verity\n[image.rootfs]\nfilename=root.img\n`,
    );
    const signer = ['--cert', join(this.#folder, 'maker.pem'), '--key', join(this.#folder, 'maker.key')];
    await tool('rauc', ['bundle', ...signer, content, join(recipe, 'payload/kiosk.raucb')]);
    await writeFile(join(recipe, 'bundle.yaml'), recipeOf(version));
    await this.#desk.release(recipe, [this.device]);
  }
}

const recipeOf = (version: number): string => `
name: kiosk
version: '${version}.0'
counter: ${version}
models: [${MODEL}]
installer: rauc
payload: payload
health:
  withinSeconds: 60
  settleSeconds: 5
  sensors: false
  probe: { command: [kiosk-probe], timeoutSeconds: 20 }
`;

const filesOf = ({ version, isWell }: ImageWish): Record<string, string> => ({
  'etc/kiosk-version': `${version}\n`,
  'usr/local/bin/kiosk-probe': `#!/bin/sh\nexit ${isWell ? 0 : 1}\n`,
});

/** What docs/operations.md gives an integrator to copy. */
interface Advice {
  readonly system: string;
  readonly grub: string;
  readonly bus: string;
  readonly polkit: string;
}

async function readAdvice(): Promise<Advice> {
  const [, section = ''] = (await readFile(PAGE, 'utf8')).split('### Updates by RAUC\n');
  const block = (kind: string): string => {
    const [, text] = section.split(`\`\`\`${kind}\n`);
    if (text === undefined) throw new Error(`${PAGE} has no block of ${kind} for RAUC`);
    return `${text.split('\n```')[0]}\n`;
  };
  return { system: block('ini'), grub: block('sh'), bus: block('xml'), polkit: block('js') };
}

/** The script of an integrator who does what the page says. */
async function integration(folder: string, { system, bus, polkit }: Advice): Promise<string> {
  const file = (path: string, text: string): string =>
    `mkdir -p '${path.replace(/[^/]+$/, '')}'\nbase64 -d > '${path}' <<'END'\n${Buffer.from(text).toString('base64')}\nEND\n`;
  return [
    file('/etc/rauc/system.conf', system.replaceAll('/dev/sda', '/dev/vdc')),
    file('/etc/rauc/keyring.pem', await readFile(join(folder, 'maker.pem'), 'utf8')),
    file('/etc/dbus-1/system.d/de.pengutronix.rauc.conf', bus),
    file('/etc/polkit-1/rules.d/60-paddock-reboot.rules', polkit),
    // Who asks for a restart asks this service.
    'systemctl --quiet unmask systemd-logind.service\nsystemctl --quiet disable paddock-launcher.service\n',
    'mkdir -p /var/lib/rauc\n',
    // Of every image the same 108 MB: they lie with the data, so that an update is one of seconds.
    `rm ${NODE}\n`,
  ].join('');
}

async function makeSigner(folder: string): Promise<void> {
  const files = ['-keyout', join(folder, 'maker.key'), '-out', join(folder, 'maker.pem')];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '3650'];
  await tool('openssl', ['req', '-x509', ...key, ...files, '-subj', '/O=maker/CN=rauc']);
}
