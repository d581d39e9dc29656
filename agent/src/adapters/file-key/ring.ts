import type { Disk, HeldKey, IdentityKeys } from '../../ports.ts';
import { deviceKeyOf, newKeyPem } from '../file-key.ts';

/** Beside the current one, in its directory. */
const nextName = (name: string): string => `${name}.next`;

/**
 * The identity key in a file, and how another takes its place: the next one is whole before it is used, and takes the
 * name of the current one in one step. Whatever a power cut leaves, one of the two is there, or both.
 * @param disk the directory of the key
 * @throws KeyFileError when what lies there as the next key is none
 */
export async function openKeyRing(disk: Disk, name: string, opened: HeldKey): Promise<IdentityKeys> {
  let current = opened;
  let next = await heldIn(disk, nextName(name));
  if (next?.public.thumbprint === current.public.thumbprint) {
    await disk.remove(nextName(name));
    next = null;
  }
  return {
    current: () => current,
    next: () => next,
    async begin() {
      if (next !== null) return next;
      const pem = newKeyPem();
      const made = await deviceKeyOf(nextName(name), pem);
      await disk.replace(nextName(name), new TextEncoder().encode(pem));
      next = made;
      return made;
    },
    async finish() {
      const pem = await disk.read(nextName(name));
      if (next === null || pem === null) return;
      await disk.replace(name, pem);
      current = next;
      next = null;
      await disk.remove(nextName(name));
    },
  };
}

async function heldIn(disk: Disk, name: string): Promise<HeldKey | null> {
  const pem = await disk.read(name);
  return pem === null ? null : deviceKeyOf(name, new TextDecoder().decode(pem));
}
