import { join } from 'node:path';
import { cached } from './cache.ts';
import { debianIngredients, makeDebian } from './debian-root.ts';
import { imageIngredients, makeImages } from './images.ts';
import { debianKernel, kernelIngredients, makeKernel } from './kernel.ts';

/** What a virtual kiosk boots from; read only, shared by all of them. */
export interface KioskParts {
  readonly kernel: string;
  /** The same one, as boot loaders take it. */
  readonly packedKernel: string;
  readonly ramDisk: string;
  readonly base: string;
}

/** Makes what is not in the cache yet: minutes the first time, nothing after that. */
export async function prepareKiosk(): Promise<KioskParts> {
  const chosen = await debianKernel();
  const kernel = await cached('kernel', kernelIngredients(chosen), (directory) => makeKernel(chosen, directory));
  const debian = await cached('debian', debianIngredients(), makeDebian);
  const images = await cached('images', [kernel, debian, ...(await imageIngredients())], (directory) =>
    makeImages({ kernel, debian }, directory),
  );
  return {
    kernel: join(kernel, 'vmlinux'),
    packedKernel: join(kernel, 'vmlinuz'),
    ramDisk: join(images, 'boot.cpio'),
    base: join(images, 'base.img'),
  };
}
