import { cp, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { tool } from './tools.ts';

/**
 * Installs packages and runs a script in what the guest's root is, in a mount namespace of its own. What that changed is
 * left in `upper`: as a layer over the root it is the root with all of it.
 */
const INSTALL = `
mount -o loop,ro "$2" "$1/base"
mount -t overlay overlay -o lowerdir="$1/base",upperdir="$1/upper",workdir="$1/work" "$1/merged"
mount --rbind /dev "$1/merged/dev"
mount -t proc proc "$1/merged/proc"
mount --bind "$1/given" "$1/merged/mnt"
chroot "$1/merged" sh -euc 'dpkg --install /mnt/*.deb >/dev/null; . /mnt/script.sh'
`;

/** What a kiosk's slots hold: the agent from its package, and all that an integrator adds. */
export class SlotImages {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * @param base the image of the root that the slots lie over
   * @param deb the agent's package
   * @param script what the integrator does, with sh, as root
   */
  static async prepare(folder: string, { base, deb, script }: Ingredients): Promise<SlotImages> {
    const home = join(folder, 'slot');
    for (const name of ['base', 'upper', 'work', 'merged', 'given']) await mkdir(join(home, name), { recursive: true });
    await cp(deb, join(home, 'given/agent.deb'));
    await writeFile(join(home, 'given/script.sh'), script);
    await tool('unshare', ['--mount', 'bash', '-euo', 'pipefail', '-c', INSTALL, 'bash', home, base]);
    return new SlotImages(home);
  }

  /** @param files what this one has of its own: contents by their paths. @returns the image */
  async make(name: string, files: Readonly<Record<string, string>>): Promise<string> {
    const image = join(this.#folder, `${name}.img`);
    for (const [path, text] of Object.entries(files)) {
      const file = join(this.#folder, 'upper', path);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text, { mode: 0o755 });
    }
    // Quickly: it is read once a boot.
    const packing = ['-comp', 'zstd', '-Xcompression-level', '3', '-quiet', '-no-progress'];
    await tool('mksquashfs', [join(this.#folder, 'upper'), image, ...packing]);
    return image;
  }
}

interface Ingredients {
  readonly base: string;
  readonly deb: string;
  readonly script: string;
}
